#!/usr/bin/env bash
# faiss-cpu 1.15.1, numpy 2.4.6
#
# Guess, written down before: a faiss index of 8 bits a value (SQ8, inner product), trained on the first 100 recordings, of
# 5 voices, scores 2,000 voices that are added later as the exact index does, to 0.02.
# Seen: scores are too low, by 0.06 on average for recordings of one voice (0.67 instead of 0.74), by 0.16 at most. Training
# keeps the least and greatest value of each dimension, and what lies outside is cut off when it is added, without a word;
# five voices fill a small part of the space. A threshold that refuses 1 % of these voices' recordings by exact scores refuses
# 27 %. 6 and 4 bits do the same. Trained on 100 voices 2.4 % are refused, on all 1 %. The right voice comes first in every
# search, so that a recall test finds nothing.
# Who is hurt: whoever starts a gallery with the recordings at hand, trains once, enrolls on, and decides by a threshold: who
# came first is recognized, who came later often is not.
# What to do: train with vectors of some hundred voices or more, whoever they are, or with random ones of the same spread;
# QT_8bit_uniform (one range for all dimensions) is off by 0.02, QT_fp16 needs no training.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import numpy as np

SIZE, FIRST, EACH, LATER = 192, 5, 20, 2_000
generator = np.random.default_rng(0)


def recordings(voices: np.ndarray) -> np.ndarray:
    vectors = voices + 0.6 * generator.standard_normal(voices.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


voices = generator.standard_normal((FIRST + LATER, SIZE))
first = recordings(np.repeat(voices[:FIRST], EACH, axis=0))
enrolled, asked = recordings(voices[FIRST:]), recordings(voices[FIRST:])
trained_on = {
    "5 voices": first,
    "100 voices": enrolled[:100],
    "2,000 voices": enrolled,
    "random": recordings(generator.standard_normal((LATER, SIZE))),
}
exact = np.sum(asked * enrolled, axis=1)
limit = np.quantile(exact, 0.01)
print(f"exact: {exact.mean():.3f} for one voice; at a threshold of {limit:.3f} 1 % of the later voices are refused")
off, refused, low = {}, {}, {}
kinds = {
    "SQ8": faiss.ScalarQuantizer.QT_8bit,
    "SQ6": faiss.ScalarQuantizer.QT_6bit,
    "SQ4": faiss.ScalarQuantizer.QT_4bit,
    "uniform": faiss.ScalarQuantizer.QT_8bit_uniform,
    "SQfp16": faiss.ScalarQuantizer.QT_fp16,
}
for kind, code in kinds.items():
    for name, vectors in trained_on.items():
        index = faiss.IndexScalarQuantizer(SIZE, code, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(np.concatenate([first, enrolled]))
        scores, places = index.search(asked, 1)
        kept = index.reconstruct_n(0, index.ntotal)
        own = np.sum(asked * kept[len(first):], axis=1)
        off[kind, name], low[kind, name] = np.abs(own - exact).max(), np.mean(exact - own)
        refused[kind, name] = np.mean(own < limit)
        found = np.mean(places[:, 0] == len(first) + np.arange(LATER))
        print(f"{kind}, trained on {name}: {low[kind, name]:.3f} low, at most {off[kind, name]:.3f} off, {found:.1%} found, "
              f"{refused[kind, name]:.1%} refused")
        assert np.abs(scores[:, 0] - own)[places[:, 0] == len(first) + np.arange(LATER)].max() < 0.01
ok = all(low[kind, "5 voices"] > 0.03 and refused[kind, "5 voices"] > 0.2 for kind in ("SQ8", "SQ6", "SQ4"))
ok &= off["SQ8", "2,000 voices"] < 0.01 and off["SQ8", "random"] < 0.05
ok &= off["uniform", "5 voices"] < 0.03 and off["SQfp16", "5 voices"] < 0.005
sys.exit(0 if ok else "the behavior has changed: what lies outside the trained range is kept")
PYTHON
