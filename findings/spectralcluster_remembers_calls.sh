#!/usr/bin/env bash
# spectralcluster 0.2.22, numpy 2.4.6
#
# Guess, written down before: a clusterer gives a recording the same labels whatever it clustered before.
# Seen: one that tunes itself (autotune) does not. After each recording the range in which it looks for its threshold is
# narrowed around what was best there, and that stays: after one call of two people it finds 2 or 3 speakers in a third to
# half of the calls of four, where a fresh one finds four in all; after ten, in two thirds, and its range is one value for
# good. The ready turntodiarize_clusterer is one object of the module: it is narrowed for all that use it in the process.
# Nothing is said, and in calls of two all is right.
# Who is hurt: whoever diarizes recordings in a loop or in a server, as one clusterer is made once: the first calls decide
# how many speakers later ones can have, and after a restart other labels come out.
# What to do: copy.deepcopy() of the clusterer, or a new AutoTune, for each recording, before it was used for any.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check spectralcluster==0.2.22 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy
import sys

import numpy as np
from spectralcluster import AutoTune, SpectralClusterer, configs

SIZE, TURN = 192, 3
generator = np.random.default_rng(0)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def call(people: int, windows: int) -> np.ndarray:
    """Vectors of windows of people who talk in turns; cosine 0.6 within, 0 across."""
    voices = unit(generator.standard_normal((people, SIZE)))[np.arange(windows) // TURN % people]
    return unit(np.sqrt(0.6) * voices + np.sqrt(0.4) * unit(generator.standard_normal((windows, SIZE))))


def counts(clusterer: SpectralClusterer, calls: list[np.ndarray]) -> list[int]:
    """How many speakers each call has, by a copy of the clusterer for each."""
    return [len(set(copy.deepcopy(clusterer).predict(vectors))) for vectors in calls]


def own() -> SpectralClusterer:
    return SpectralClusterer(min_clusters=1, max_clusters=7, autotune=AutoTune(p_percentile_min=0.4, p_percentile_max=0.95),
                             refinement_options=copy.deepcopy(configs.turntodiarize_refinement_options),
                             laplacian_type=configs.turntodiarize_clusterer.laplacian_type, row_wise_renorm=True)


ok = True
calls = {people: [call(people, windows) for windows in (60, 80, 100, 120, 160, 200)] for people in (2, 4)}
for name, clusterer in (("turntodiarize_clusterer", configs.turntodiarize_clusterer), ("one with AutoTune()", own())):
    fresh = {people: counts(clusterer, calls[people]) for people in calls}
    print(f"{name}, fresh: {fresh[2]} speakers in calls of 2, {fresh[4]} in calls of 4")
    ok &= all(set(found) == {people} for people, found in fresh.items())
    done = 0
    for before in (1, 10):
        while done < before:
            clusterer.predict(call(2, 100))
            done += 1
        used = {people: counts(clusterer, calls[people]) for people in calls}
        tuned = clusterer.autotune
        print(f"{name}, after {before} calls of 2 people: {used[2]} speakers in calls of 2, {used[4]} in calls of 4; it looks "
              f"from {tuned.p_percentile_min:.4f} to {tuned.p_percentile_max:.4f}")
        ok &= set(used[2]) == {2} and sum(found < 4 for found in used[4]) >= 2
    ok &= tuned.p_percentile_max - tuned.p_percentile_min < 0.01
sys.exit(0 if ok else "the behavior has changed: what was clustered before does not count")
PYTHON
