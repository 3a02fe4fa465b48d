#!/bin/sh
# VoxCeleb end to end: prepare (stage 0), train (1), large margin (2), cohort (3), evaluate with
# adaptive s-norm (4), calibrate (5).
#
#   recipes/voxceleb/run.sh [--stage N] [--stop-stage N] VOXCELEB2 VOXCELEB1 TRIALS OUTPUT
#
# VOXCELEB2 (dev/aac or wav) is trained on, VOXCELEB1 (wav) holds the recordings of TRIALS, such as
# veri_test2.txt (lines `label path path`). The cohort is what was trained on: its
# speakers are in no trial. A stage that was stopped is resumed by the same command. On the real
# corpus: about a million utterances, 300 GB prepared, days of a GPU.
#
# LAYOUT (auto), CONFIG (campplus-aam) and LARGE_MARGIN (campplus-large-margin) replace what is in
# brackets; PREPARE_OPTIONS, TRAIN_OPTIONS, LARGE_MARGIN_OPTIONS, EMBED_OPTIONS and
# NORM_OPTIONS hold more flags.
set -eu

stage=0
stop_stage=5
while [ $# -gt 1 ]; do
    case $1 in
        --stage) stage=$2 ;;
        --stop-stage) stop_stage=$2 ;;
        *) break ;;
    esac
    shift 2
done
[ $# -eq 4 ] || { echo "usage: run.sh [--stage N] [--stop-stage N] VOXCELEB2 VOXCELEB1 TRIALS OUTPUT" >&2; exit 2; }
train=$1
test=$2
trials=$3
output=$4
layout=${LAYOUT:-auto}

code=0
# Run a command whose exit code 1 says that some recordings could not be used; others end the script.
over_recordings() {
    "$@" || code=$?
    [ "$code" -le 1 ] || exit "$code"
}

runs() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

# shellcheck disable=SC2086 # the options are words
{
    if runs 0; then
        over_recordings timbral prepare "$train" --layout "$layout" --output "$output/data" ${PREPARE_OPTIONS:-}
    fi
    if runs 1; then
        timbral train "${CONFIG:-campplus-aam}" --data "$output/data" --output "$output/base" \
            ${TRAIN_OPTIONS:-}
    fi
    if runs 2; then
        timbral train "${LARGE_MARGIN:-campplus-large-margin}" --init "$output/base" --keep-classifier \
            --data "$output/data" --output "$output/large-margin" ${LARGE_MARGIN_OPTIONS:-}
    fi
    if runs 3; then
        over_recordings timbral embed "$output/large-margin" "$output/data" --output "$output/train-vectors" \
            ${EMBED_OPTIONS:-}
    fi
    if runs 4; then
        over_recordings timbral evaluate "$output/large-margin" "$trials" --root "$test" \
            --output "$output/evaluation" --vectors "$output/test-vectors" ${EMBED_OPTIONS:-}
        over_recordings timbral evaluate "$output/large-margin" "$trials" --root "$test" \
            --output "$output/evaluation-as-norm" --vectors "$output/test-vectors" \
            --norm as-norm --cohort "$output/train-vectors" ${NORM_OPTIONS:-} ${EMBED_OPTIONS:-}
    fi
    if runs 5; then
        # a recording's speaker is the first folder of its path
        awk '{ for (i = 2; i <= 3; i++) { split($i, folders, "/"); print $i, folders[1] } }' "$trials" \
            | sort -u > "$output/utt2spk"
        timbral calibrate "$output/evaluation" --speakers "$output/utt2spk" \
            --output "$output/calibration.json"
    fi
}
exit $code
