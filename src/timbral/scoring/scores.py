"""Scores of trials: cosines of the vectors of their recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import no_finite_vector
from timbral.io.storage import is_url
from timbral.io.types import Floats, Ints, Progress, Vectors
from timbral.scoring.known_vectors import KnownVectors
from timbral.scoring.score_file import ScoredList
from timbral.scoring.trial_list import Trial, TrialList

__all__ = ["ScoredTrials", "score_trials"]

WAVES_PER_BATCH = 64


@dataclass(frozen=True)
class ScoredTrials:
    """Trials that could be scored, their cosines (N,), and the recordings that failed."""

    trials: list[Trial]
    scores: Floats
    failures: list[dict[str, str]]

    @property
    def labels(self) -> Ints:
        return np.array([trial.label for trial in self.trials])

    @property
    def columns(self) -> ScoredList:
        """The trials and scores as columns."""
        return ScoredList(TrialList.of(self.trials), self.scores)


def score_trials(
    embedder: Embedder,
    trials: Sequence[Trial],
    root: str | Path,
    progress: Progress = lambda done, total: None,
    keep_in: Path | None = None,
) -> ScoredTrials:
    """Cosine of every trial whose two recordings can be used; each recording is embedded once.

    Paths are relative to `root`; URLs stay. Vectors are kept in the folder `keep_in`, where those
    of an earlier call with the same encoder are found; None: nowhere.
    """
    paths = sorted({path for trial in trials for path in (trial.first, trial.second)})
    known = KnownVectors(keep_in, Path(root))
    try:
        vectors, failures = _embed_each(embedder, paths, Path(root), progress, known)
    finally:
        known.save()  # also what was done before an interruption
    scored = [trial for trial in trials if trial.first in vectors and trial.second in vectors]
    cosines = [float(vectors[trial.first] @ vectors[trial.second]) for trial in scored]
    return ScoredTrials(scored, np.array(cosines), failures)


def _embed_each(
    embedder: Embedder, paths: Sequence[str], root: Path, progress: Progress, known: KnownVectors
) -> tuple[dict[str, Vectors], list[dict[str, str]]]:
    """A vector (E,) for each path that can be used, and the failures of the others."""
    vectors = {path: vector for path in paths if (vector := known.get(path)) is not None}
    failures: list[dict[str, str]] = []
    waves: dict[str, Wave] = {}
    missing = [path for path in paths if path not in vectors]
    done_before = len(vectors)
    loaded = embedder.try_load_many(path if is_url(path) else root / path for path in missing)
    for done, (path, wave) in enumerate(zip(missing, loaded, strict=True), start=1):
        if isinstance(wave, AudioError):
            failures.append(wave.as_dict() | {"path": path})
        else:
            waves[path] = wave
        if len(waves) == WAVES_PER_BATCH or done == len(missing):
            embedded = embedder.encode_preprocessed(list(waves.values()))
            for waved, vector, is_usable in zip(
                waves, embedded, finite_rows(embedded), strict=True
            ):
                if is_usable:
                    vectors[waved] = vector
                    known.add(waved, vector)
                else:
                    failures.append(no_finite_vector(waved).as_dict())
            waves.clear()
            progress(done_before + done, len(paths))
    return vectors, failures
