#!/usr/bin/env bash
# funasr 1.4.16, torch 2.13.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6
#
# Guess, written down before: ClusterBackend, which gives AutoModel(spk_model="cam++") its speakers, tells two clearly
# different voices apart in 12 windows as in 40, and finds two where it is told that there are two (preset_spk_num, its
# oracle_num).
# Seen: below 20 windows everything is one speaker, whatever the vectors are, also where it is told how many there are. With
# 20 windows of the same two voices it is right, told or not. A window is 1.5 s long and begins every 0.75 s, so
# a call with less than about 15 s of speech has one speaker.
# Who is hurt: whoever enrolls or clones voices from short calls, voice messages and clips with two people, or cuts long
# recordings into such pieces first: one profile holds both people, and nothing is said. preset_spk_num does not help.
# What to do: take the windows' vectors (spk_embedding) and cluster those of short recordings with another method, such as
# average linkage at a distance of 0.5, as below.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"${pip[@]}" --no-deps funasr==1.4.16 # the file below needs none of the rest
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

package = Path(importlib.util.find_spec("funasr").origin).parent
spec = importlib.util.spec_from_file_location(
    "cluster_backend", package / "models" / "campplus" / "cluster_backend.py"
)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
backend = module.ClusterBackend()


def windows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (count, 192) of two voices by turns, and whose they are."""
    generator = np.random.default_rng(seed)
    whose = np.arange(count) % 2
    vectors = generator.standard_normal((2, 192))[whose] + 0.8 * generator.standard_normal((count, 192))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32"), whose


def right(labels: np.ndarray, whose: np.ndarray) -> bool:
    return len({*zip(labels.tolist(), whose.tolist())}) == len({*labels.tolist()}) == 2


ok = True
for count in (12, 19, 20, 40):
    vectors, whose = windows(count, count)
    cosines = vectors @ vectors.T
    same = cosines[whose[:, None] == whose][cosines[whose[:, None] == whose] < 0.999].mean()
    other = cosines[whose[:, None] != whose].mean()
    found = np.asarray(backend(vectors, oracle_num=None))
    told = np.asarray(backend(vectors, oracle_num=2))
    linked = fcluster(linkage(vectors, "average", "cosine"), 0.5, "distance")
    print(f"{count} windows of two voices (cosine {same:.2f} within, {other:.2f} between): {len(set(found.tolist()))} speakers, "
          f"told that there are two {len(set(told.tolist()))}; by average linkage {len(set(linked.tolist()))}")
    ok &= right(linked, whose)
    ok &= all(right(labels, whose) == (count >= 20) for labels in (found, told))
sys.exit(0 if ok else "the behavior has changed: fewer than 20 windows are no longer one speaker")
PYTHON
