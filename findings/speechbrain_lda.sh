#!/usr/bin/env bash
# speechbrain 1.1.2, numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1
#
# Guess, written down before: LDA of SpeechBrain (processing/PLDA_LDA.py) finds the directions that scikit-learn's finds.
# Seen: only where vectors of one speaker spread alike in all directions. The matrix of it, between-speaker covariance by the
# inverse of the within-speaker one, is not symmetric, and it is handed to eigh, which reads one triangle and takes the
# other for its mirror. Where a channel spreads vectors five times as far in some directions as in others, cosines of other
# speakers have an EER of 15 % without LDA, 9 % after SpeechBrain's and 1 % after scikit-learn's (48 of 96 directions kept).
# The columns are orthonormal and in order, LDA seems to help, nothing is said. PLDA of the same file is right (scores to
# 1e-5 of the exact ones). SIDEKIT 1.4.3.2, where the file comes from, has the same lines (read there, not run).
# Who is hurt: whoever puts LDA before cosines or PLDA, as recipes of x-vectors and i-vectors do: most of what it could take
# away of the channel stays, and speakers' directions go instead.
# What to do: scipy.linalg.eigh(Sb, Sw), or scikit-learn's solver="eigen", handed over as transform_mat.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"${pip[@]}" --no-deps speechbrain==1.1.2 # the file below needs none of the rest
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

package = Path(importlib.machinery.PathFinder.find_spec("speechbrain").origin).parent
spec = importlib.util.spec_from_file_location("PLDA_LDA", package / "processing" / "PLDA_LDA.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
DIMENSION, TRAINING, TEST, UTTERANCES = 96, 400, 80, 8
generator = np.random.default_rng(0)


def rotation() -> np.ndarray:
    return np.linalg.qr(generator.standard_normal((DIMENSION, DIMENSION)))[0]


def draw(between: np.ndarray, within: np.ndarray, speakers: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of speakers, and whose they are."""
    whose = np.repeat(np.arange(speakers), UTTERANCES)
    voices = generator.standard_normal((speakers, DIMENSION)) @ between.T
    return voices[whose] + generator.standard_normal((len(whose), DIMENSION)) @ within.T, whose


def eer(vectors: np.ndarray, whose: np.ndarray) -> float:
    """Equal error rate of the cosines of all pairs."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    one, other = np.triu_indices(len(whose), 1)
    target = (whose[one] == whose[other])[np.argsort((vectors @ vectors.T)[one, other])]
    misses, accepts = np.cumsum(target) / target.sum(), 1 - np.cumsum(~target) / (~target).sum()
    return float(misses[np.argmin(abs(misses - accepts))])


def speechbrain_lda(vectors: np.ndarray, whose: np.ndarray, rank: int) -> np.ndarray:
    none, names = np.full(len(whose), None), np.array([f"s{number:04d}" for number in whose], dtype=object)
    segments = np.array([f"u{number:05d}" for number in range(len(whose))], dtype=object)
    stats = module.StatObject_SB(modelset=names, segset=segments, start=none, stop=none,
                                 stat0=np.ones((len(whose), 1)), stat1=vectors.copy())
    lda = module.LDA()
    lda.do_lda(stats, reduced_dim=rank)
    return lda.transform_mat


def right_lda(vectors: np.ndarray, whose: np.ndarray, rank: int) -> np.ndarray:
    return LinearDiscriminantAnalysis(solver="eigen").fit(vectors, whose).scalings_[:, :rank]


ok = True
between = rotation() * np.linspace(1, 0.2, DIMENSION)
for channel, within in {
    "alike in all directions": 0.9 * rotation(),
    "more in some directions": rotation() * np.geomspace(2, 0.4, DIMENSION),
}.items():
    vectors, whose = draw(between, within, TRAINING)
    tests, tested = draw(between, within, TEST)
    tests = tests - vectors.mean(axis=0)
    before = eer(tests, tested)
    print(f"spread {channel}: EER {before:.1%} without LDA")
    for rank in (48, 24):
        found, right = speechbrain_lda(vectors, whose, rank), right_lda(vectors, whose, rank)
        shared = np.linalg.norm(np.linalg.qr(found)[0].T @ np.linalg.qr(right)[0]) ** 2 / rank
        rates = eer(tests @ found, tested), eer(tests @ right, tested)
        print(f"    {rank} directions: {shared:.0%} of them shared, "
              f"EER {rates[0]:.1%} with SpeechBrain's LDA, {rates[1]:.1%} with scikit-learn's")
        if channel.startswith("alike"):
            ok &= shared > 0.9 and abs(rates[0] - rates[1]) < 0.02
        else:
            ok &= shared < 0.9 and before > rates[0] > 2 * rates[1]
sys.exit(0 if ok else "the behavior has changed: the directions are the right ones")
PYTHON
