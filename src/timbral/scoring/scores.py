"""Scores of trials: cosines of the vectors of their recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder
from timbral.inference.recordings import no_finite_vector
from timbral.io.types import Floats, Ints, Progress, Vectors
from timbral.scoring.trials import Trial

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


def score_trials(
    embedder: Embedder,
    trials: Sequence[Trial],
    root: str | Path,
    progress: Progress = lambda done, total: None,
) -> ScoredTrials:
    """Cosine of every trial whose two recordings can be used; each recording is embedded once.

    Paths are relative to `root`. Raises DataError when no trial can be scored.
    """
    paths = sorted({path for trial in trials for path in (trial.first, trial.second)})
    vectors, failures = _embed_each(embedder, paths, Path(root), progress)
    scored = [trial for trial in trials if trial.first in vectors and trial.second in vectors]
    if not scored:
        raise DataError(
            f"no trial could be scored; the first failure: {Path(root) / failures[0]['path']}: "
            f"{failures[0]['reason']}; root should be the folder that the paths of the trials "
            "start from"
        )
    cosines = [float(vectors[trial.first] @ vectors[trial.second]) for trial in scored]
    return ScoredTrials(scored, np.array(cosines), failures)


def _embed_each(
    embedder: Embedder, paths: Sequence[str], root: Path, progress: Progress
) -> tuple[dict[str, Vectors], list[dict[str, str]]]:
    """A vector (E,) for each path that can be used, and the failures of the others."""
    vectors: dict[str, Vectors] = {}
    failures: list[dict[str, str]] = []
    waves: dict[str, Wave] = {}
    loaded = embedder.try_load_many(root / path for path in paths)
    for done, (path, wave) in enumerate(zip(paths, loaded, strict=True), start=1):
        if isinstance(wave, AudioError):
            failures.append(wave.as_dict() | {"path": path})
        else:
            waves[path] = wave
        if len(waves) == WAVES_PER_BATCH or done == len(paths):
            embedded = embedder.encode_preprocessed(list(waves.values()))
            for waved, vector, is_usable in zip(
                waves, embedded, finite_rows(embedded), strict=True
            ):
                if is_usable:
                    vectors[waved] = vector
                else:
                    failures.append(no_finite_vector(waved).as_dict())
            waves.clear()
            progress(done, len(paths))
    return vectors, failures
