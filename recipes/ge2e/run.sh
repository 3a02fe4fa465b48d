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

# End with a message on what is wrong.
refuse() {
    echo "error: $1; see: $0 --help" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
            exit
            ;;
        --stage | --stop-stage | --stop_stage)
            number=${2:-}
            case ${number#-} in
                '' | *[!0-9]*) refuse "$1 needs the number of a stage, 0, 1 or 2; got '$number'" ;;
            esac
            if [ "$1" = --stage ]; then stage=$number; else stop_stage=$number; fi
            shift 2
            ;;
        -*) refuse "unknown option $1; allowed: --stage N, --stop-stage N" ;;
        *) break ;;
    esac
done
if [ "$stage" -gt 2 ] || [ "$stop_stage" -lt 0 ] || [ "$stage" -gt "$stop_stage" ]; then
    refuse "no stage from $stage to $stop_stage; there are 0, 1 and 2"
fi

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
