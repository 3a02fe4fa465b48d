#!/bin/sh
# A student of campplus-zh-en that begins as its teacher cut down, on one CPU core in two hours;
# learn.py resumes what was begun.
#
#   recipes/distillation/cut_down/run.sh CORPORA VOICES WORK
#
# CORPORA and VOICES are those of recipes/distillation/prepare_store.py. WORK/student.encoder becomes
# the encoder.
set -e
corpora=$(realpath "$1") voices=$(realpath "$2") work=$3
here=$(dirname "$0")

timbral download campplus-zh-en
[ -f "$work/store/utterances.parquet" ] ||
    python "$here/../prepare_store.py" "$corpora" "$voices" "$work/store"
python "$here/voices.py" "$corpora" "$work/store" "$work/shards"
python "$here/voices.py" "$corpora" "$work/store" "$work/unseen" --first 1000 --crops 16000
for shards in shards unseen; do
    python "$here/held.py" "$corpora" "$work/store" "$work/$shards"
done
[ -f "$work/front.pt" ] ||
    python "$here/front.py" "$corpora" "$work/shards" "$work/front.pt"
[ -f "$work/fitted.pt" ] ||
    python "$here/fit.py" "$corpora" "$work/shards" "$work/front.pt" "$work/fitted.pt"
python "$here/learn.py" "$corpora" "$work/shards" "$work/fitted.pt" "$work/learned.pt"
python "$here/head.py" "$work/unseen" "$work/learned.pt" "$work/student.encoder"
