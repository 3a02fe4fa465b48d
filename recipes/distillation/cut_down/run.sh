#!/bin/sh
# A student of campplus-zh-en that begins as its teacher cut down, on one CPU core in six hours;
# learn.py and harden.py resume what was begun.
#
#   recipes/distillation/cut_down/run.sh CORPORA VOICES WORK [SEED]
#
# CORPORA and VOICES are those of recipes/distillation/prepare_store.py. WORK/student.encoder becomes
# the encoder. SEED (default 0) draws other crops, batches and conditions; a WORK of its own for each.
set -e
corpora=$(realpath "$1") voices=$(realpath "$2") work=$3 seed=${4:-0}
here=$(dirname "$0")
first=$((2000 * seed))

timbral download campplus-zh-en
[ -f "$work/store/utterances.parquet" ] ||
    python "$here/../prepare_store.py" "$corpora" "$voices" "$work/store"
python "$here/voices.py" "$corpora" "$work/store" "$work/shards" --first "$first"
python "$here/voices.py" "$corpora" "$work/store" "$work/unseen" \
    --first "$((first + 1000))" --crops 32000 --vectors-only
python "$here/waves.py" "$work/store" "$work/waves" --first "$first"
python "$here/waves.py" "$work/store" "$work/unseen" \
    --first "$((first + 1000))" --crops 12288 --vectors-only
python "$here/held.py" "$corpora" "$work/store" "$work/shards"
for shards in waves unseen; do
    python "$here/held.py" "$corpora" "$work/store" "$work/$shards" --degraded
done
[ -f "$work/front.pt" ] ||
    python "$here/front.py" "$corpora" "$work/shards" "$work/front.pt" --seed "$seed"
[ -f "$work/fitted.pt" ] ||
    python "$here/fit.py" "$corpora" "$work/shards" "$work/front.pt" "$work/fitted.pt" --seed "$seed"
python "$here/learn.py" "$corpora" "$work/shards" "$work/fitted.pt" "$work/learned.pt" --seed "$seed"
python "$here/harden.py" "$corpora" "$work/shards" "$work/waves" "$work/fitted.pt" \
    "$work/learned.pt" "$work/degraded.pt" --seed "$seed"
python "$here/harden.py" "$corpora" "$work/shards" "$work/waves" "$work/fitted.pt" \
    "$work/degraded.pt" "$work/hardened.pt" --every 4 --rate 5e-5 --seconds 1320 \
    --seed "$((seed + 1))"
python "$here/harden.py" "$corpora" "$work/shards" "$work/waves" "$work/fitted.pt" \
    "$work/hardened.pt" "$work/last.pt" --every 4 --seconds 5100 --seed "$((seed + 2))"
python "$here/head.py" "$corpora" "$work/unseen" "$work/last.pt" "$work/student.encoder"
