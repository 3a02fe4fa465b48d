#!/bin/sh
# PaddleSpeech's GE2E recipe in one command: prepare (stage 0), train (1), embed (2).
#
#   recipes/ge2e/run.sh [--stage N] [--stop-stage N] \
#       [DATASETS_ROOT [PREPROCESS_PATH [DATASET_NAMES [TRAIN_OUTPUT [INFER_INPUT [INFER_OUTPUT]]]]]]
#
# Recordings that cannot be used end nothing: their list is named, and so is the exit code 1 at the end.
# TRAIN_OPTIONS holds more flags of `timbral train`, such as "--device cpu --opts model.num_layers 2",
# EMBED_OPTIONS of `timbral embed`, such as "--layout tree".
set -eu

stage=0
stop_stage=2
while [ $# -gt 1 ]; do
    case $1 in
        --stage) stage=$2 ;;
        --stop-stage | --stop_stage) stop_stage=$2 ;;
        *) break ;;
    esac
    shift 2
done

datasets_root=${1:-$HOME/datasets/GE2E}
preprocess_path=${2:-dump}
dataset_names=${3:-librispeech_other}
train_output_path=${4:-output}
infer_input=${5:-infer_input}
infer_output=${6:-infer_output}

code=0
# Run a command whose exit code 1 says that some recordings could not be used; others end the script.
over_recordings() {
    "$@" || code=$?
    [ "$code" -le 1 ] || exit "$code"
}

runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

if runs 0; then
    over_recordings timbral prepare --datasets_root="$datasets_root" --output_dir="$preprocess_path" \
        --dataset_names="$dataset_names" --trim webrtc
fi
if runs 1; then
    # shellcheck disable=SC2086 # the options are words
    timbral train --data "$preprocess_path" --output "$train_output_path" ${TRAIN_OPTIONS:-}
fi
if runs 2; then
    # shellcheck disable=SC2086
    over_recordings timbral embed "$train_output_path" "$infer_input" --output "$infer_output" \
        --format npy ${EMBED_OPTIONS:-}
fi
exit $code
