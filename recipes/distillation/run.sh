#!/bin/sh
# A small encoder, distilled from campplus-zh-en on two CPU cores; started again, it resumes.
#
#   recipes/distillation/run.sh CORPORA VOICES WORK
#
# CORPORA and VOICES are those of prepare_store.py. Noises and rooms that recipes/calibration tests
# with are not trained on.
set -e
corpora=$(realpath "$1") voices=$(realpath "$2") work=$3
here=$(dirname "$0")
noise=$corpora/noise rooms=$corpora/rooms

timbral download campplus-zh-en
[ -f "$work/store/utterances.parquet" ] ||
    python "$here/prepare_store.py" "$corpora" "$voices" "$work/store"
timbral train distill-small --teacher campplus-zh-en --data "$work/store" --output "$work/run" \
    --validation-speakers 0 --opts \
    data.corpus_weights '{speechocean762: 10, librispeech: 10, voices: 3, wake-words: 9}' \
    augment.noise.paths "[$noise/mycroft, $noise/speech-commands-background]" \
    augment.rir.paths "[$rooms/rir1.wav, $rooms/rir2.wav, $rooms/rir3.wav,
        $rooms/Concrete_Room.wav, $rooms/impulse_response_0.wav]" \
    optimizer.learning_rate 2e-3 schedule.decay cosine schedule.steps 40000
