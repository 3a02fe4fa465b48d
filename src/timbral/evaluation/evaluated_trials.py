"""The trials in an evaluation's folder, with the conditions and vectors of their recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.audio.decode import decode
from timbral.audio.quality.measure import measure
from timbral.audio.quality.measures import Quality
from timbral.calibration.conditions import Conditions
from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.errors import AudioError, DataError
from timbral.evaluation.evaluation_job import VECTORS, EvaluationJob, read_result
from timbral.evaluation.listed_files import ListedFiles
from timbral.io.threads import map_ahead
from timbral.io.types import Ints, Progress, Vectors
from timbral.scoring.calibration_fit import TrialData
from timbral.scoring.score_file import SCORES, ScoredList, read_scores
from timbral.scoring.trial_speakers import certain_speakers_of
from timbral.scoring.trial_vectors import TrialVectors

__all__ = ["EvaluatedTrials", "read_evaluated_trials", "read_evaluated_vectors"]

COSINE_ERROR = 2e-3
"""largest difference between a score and its vectors' cosine: bf16 vectors differ by that much
between batches"""


@dataclass(frozen=True)
class EvaluatedTrials:
    """N trials of an evaluation, and the conditions of their R recordings."""

    data: TrialData
    names: pa.Array
    """(R,) names of the recordings in the list"""
    rows: tuple[Ints, Ints]
    """(N,) each: rows of the recordings on both sides of the trials"""
    conditions: Conditions
    """(R,)"""

    @classmethod
    def of(cls, scored: ScoredList, speakers: Ints, conditions: Conditions) -> EvaluatedTrials:
        """The trials of a scored list over R names, with codes of their speakers (R,)."""
        trials = scored.trials
        first, second = trials.first.astype(np.int64), trials.second.astype(np.int64)
        data = TrialData(
            np.asarray(scored.scores, dtype=np.float64),
            trials.labels.astype(np.int64),
            speakers[first],
            speakers[second],
            conditions.rows(first),
            conditions.rows(second),
        )
        return cls(data, trials.names, (first, second), conditions)

    def with_speech(self, seconds: float) -> EvaluatedTrials:
        """The trials in which both recordings have at least so many seconds of net speech.

        Raises DataError if there is none.
        """
        enough = self.conditions.speech_seconds >= seconds
        kept = enough[self.rows[0]] & enough[self.rows[1]]
        if not kept.any():
            raise DataError(
                f"`min_speech`: in no trial have both recordings {seconds:g} s of net speech or "
                f"more; the longest has {self.conditions.speech_seconds.max():.1f} s"
            )
        kept_rows = [rows[kept] for rows in self.rows]
        used, rows = np.unique(np.concatenate(kept_rows), return_inverse=True)
        first, second = np.split(rows, 2)
        return EvaluatedTrials(
            self.data.select(kept),
            self.names.take(pa.array(used)),
            (first, second),
            self.conditions.rows(used),
        )

    def with_vectors(self, found: NamedVectors, root: str) -> TrialVectors:
        """The recordings with their vectors, which are found by their locations below `root`.

        Raises DataError if a vector is missing, or the scores are not the vectors' cosines.
        """
        locations = pa.array(ListedFiles(root).locations(self.names.to_pylist()))
        paths = found.names if found.paths is None else found.paths
        rows = np.asarray(pc.fill_null(pc.index_in(locations, value_set=paths), -1))
        if (rows < 0).any():
            raise DataError(
                f"{np.count_nonzero(rows < 0):,} of {len(rows):,} recordings of the trials have no "
                f"vector, such as {locations[int(np.argmin(rows))]}; give the `vectors` of this "
                "evaluation"
            )
        recordings = self.recordings(found.vectors[rows])
        if recordings is None:
            raise DataError(
                "the scores of the evaluation are not the cosines of these vectors; evaluate again"
            )
        return recordings

    def recordings(self, vectors: Vectors) -> TrialVectors | None:
        """The recordings with their vectors (R, E); None if the scores are not their cosines."""
        speakers = np.zeros(len(self.names), dtype=np.int64)
        speakers[self.rows[0]], speakers[self.rows[1]] = self.data.first, self.data.second
        recordings = TrialVectors(vectors, speakers, *self.rows)
        errors = recordings.cosines(recordings.nuisance(0)) - self.data.scores
        return recordings if np.abs(errors).max() <= COSINE_ERROR else None


def read_evaluated_trials(
    folder: Path,
    job: EvaluationJob,
    speakers: str | Path | Mapping[str, str] | None,
    progress: Progress = lambda done, total: None,
) -> EvaluatedTrials:
    """The scored trials of an evaluation, with the conditions of their recordings.

    `job` is the folder's, `speakers` and `progress` are as for `calibrate`. Raises DataError for
    trials without labels, and for a recording that cannot be read.
    """
    scored = read_scores(folder / SCORES)
    trials = scored.trials
    if not trials.is_labeled:
        raise DataError(
            f"{folder / SCORES}: a calibration needs target and non-target trials; evaluate a "
            "list with both"
        )
    codes = certain_speakers_of(trials, speakers)
    locations = ListedFiles(job.root).locations(trials.names.to_pylist())
    return EvaluatedTrials.of(scored, codes, _measure(locations, progress))


def _measure(locations: list[str], progress: Progress) -> Conditions:
    """The conditions of recordings (N,); DataError for the first that cannot be read."""

    def measure_file(location: str) -> Quality:
        return measure(*decode(location))

    measured: list[Quality] = []
    try:
        for quality in map_ahead(measure_file, locations):
            measured.append(quality)
            progress(len(measured), len(locations))
    except AudioError as error:
        raise DataError(
            f"{error}; the recordings of the evaluation must be where they were"
        ) from None
    return Conditions.of(measured)


def read_evaluated_vectors(
    folder: Path, job: EvaluationJob, given: str | Path | None
) -> NamedVectors:
    """The vectors from which an evaluation was scored: `given`, or those where it stored them.

    Raises DataError if they are no longer there, or are from other weights.
    """
    source = _find_vectors(folder) if given is None else Path(given)
    if source is None:
        raise DataError(
            f"{folder}: its vectors are no longer there; give `vectors`, or set `directions` to "
            "0, which needs none"
        )
    found = read_vectors(source)
    if found.weights_sha256 != job.weights_sha256:
        raise DataError(
            f"{source}: its vectors are from other weights ({found.weights_sha256[:8]}) than the "
            f"evaluation ({job.weights_sha256[:8]})"
        )
    return found


def _find_vectors(folder: Path) -> Path | None:
    """The folder of an evaluation's vectors: where it says, else in or next to it."""
    stored = read_result(folder, "vectors")
    candidates = [folder / VECTORS, folder.parent / VECTORS]
    if stored is not None:
        candidates.insert(0, Path(stored))
    return next((path for path in candidates if path.exists()), None)
