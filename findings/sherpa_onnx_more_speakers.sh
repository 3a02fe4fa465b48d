#!/usr/bin/env bash
# sherpa-onnx 2.0.1, scipy 1.17.1, numpy 2.4.6
#
# Guess, written down before: sherpa-onnx's clustering, which its diarization uses (FastClustering, threshold 0.5), finds one
# speaker in windows of one voice whose cosines are 0.75 on average (standard deviation 0.08), in 100 windows as in 2,000, and
# at most six speakers in 2,000 windows of four voices.
# Seen: the longer a recording, the more speakers. One voice is 2 speakers in 100 windows, 5 or 6 in 500, 7 to 14 in 2,000;
# four voices are 4 or 5, then 8 to 13, then 13 to 17. The clustering is by complete linkage: two groups are joined only
# where their two most unlike windows are nearer than the threshold, and among more windows there are less alike ones. Average
# linkage at the same threshold finds 1 and 4 at each length. Told how many speakers there are (num_clusters) it is right
# too: every window lies with its own voice.
# Who is hurt: whoever diarizes calls and podcasts without knowing how many talk, with a threshold that was tuned on clips of
# some minutes: hours come out with a dozen people too many, voices that are cloned or enrolled from it are fragments, and
# a higher threshold that mends the long ones joins different people in the short ones.
# What to do: num_clusters where it is known; else take the windows' vectors (SpeakerEmbeddingExtractor) and cluster
# them by average linkage, or compare the means of the speakers that come out and join the near ones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check sherpa-onnx==2.0.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import sherpa_onnx
from scipy.cluster.hierarchy import fcluster, linkage

SIZE, THRESHOLD, DRAWS = 192, 0.5, 3


def windows(count: int, voices: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (count, 192) of windows, some clear and some poor, and whose they are."""
    generator = np.random.default_rng(seed)
    whose = np.arange(count) % voices
    noise = generator.uniform(0.3, 0.85, (count, 1)) * generator.standard_normal((count, SIZE))
    vectors = generator.standard_normal((voices, SIZE))[whose] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32"), whose


def found(vectors: np.ndarray, clusters: int = -1) -> np.ndarray:
    config = sherpa_onnx.FastClusteringConfig(num_clusters=clusters, threshold=THRESHOLD)
    return np.array(sherpa_onnx.FastClustering(config)(vectors.copy()))


first, _ = windows(500, 1, 0)
cosines = (first @ first.T)[np.triu_indices(len(first), 1)]
print(f"two windows of one voice: cosine {cosines.mean():.2f}, standard deviation {cosines.std():.2f}, "
      f"least of {len(first)} windows {cosines.min():.2f}")
ok = True
for voices in (1, 4):
    numbers: dict[int, list[int]] = {}
    for count in (100, 500, 2000):
        for seed in range(DRAWS):
            vectors, whose = windows(count, voices, seed)
            numbers.setdefault(count, []).append(len(set(found(vectors).tolist())))
        average = len(set(fcluster(linkage(vectors, "average", "cosine"), THRESHOLD, "distance").tolist()))
        told = found(vectors, voices)
        own = sum(np.bincount(whose[told == label]).max() for label in set(told.tolist())) / count
        print(f"{voices} voices, {count} windows: {numbers[count]} speakers; by average linkage {average}; "
              f"told how many there are, {own:.1%} of the windows with their own voice")
        ok &= average == voices
    ok &= min(numbers[2000]) > 2 * voices and sum(numbers[2000]) > 2 * sum(numbers[100])
sys.exit(0 if ok else "the behavior has changed: the number of speakers does not grow with the recording")
PYTHON
