"""The data that a Calibration is fitted to: trials, and the vectors of their recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.calibration.conditions import Conditions
from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.errors import ConfigError, DataError
from timbral.evaluation.evaluated_trials import (
    EvaluatedTrials,
    read_evaluated_trials,
    read_evaluated_vectors,
)
from timbral.evaluation.evaluation_job import EvaluationJob, read_result
from timbral.io.types import Ints, Progress
from timbral.scoring.calibrated_scores import conditions_of, identity_of
from timbral.scoring.list_speakers import listed_speakers
from timbral.scoring.score_file import SCORES, ScoredList, read_scores
from timbral.scoring.trial_list import TrialList
from timbral.scoring.trial_speakers import certain_speakers_of, numbered
from timbral.scoring.trial_vectors import TrialVectors

__all__ = ["CalibrationSource"]

Speakers = str | Path | Mapping[str, str] | None
"""the speaker of each name, a file of them, or None, as for `calibrate`"""


@dataclass(frozen=True)
class CalibrationSource:
    """Trials, scored by the vectors of one encoder."""

    encoder: str
    weights_sha256: str
    embedding_sha256: str
    """hash of preprocessing and windows; empty for vectors of other tools"""
    description: str
    trials: EvaluatedTrials
    recordings: TrialVectors | None
    """None: no directions are removed"""
    measured: bool
    """whether the conditions of the trials are known"""

    @classmethod
    def of_evaluation(
        cls,
        folder: Path,
        speakers: Speakers,
        vectors: str | Path | None,
        min_speech: float,
        with_vectors: bool,
        progress: Progress,
    ) -> CalibrationSource:
        """Read a folder from `evaluate`; its recordings are read again and measured.

        Arguments as for `calibrate`; `with_vectors`: whether directions may be removed. Raises
        DataError as `calibrate` does.
        """
        job = EvaluationJob.of_folder(folder)
        if job is None:
            raise DataError(f"{folder}: contains no evaluation; {_where_evaluations_are(folder)}")
        if job.scoring:
            raise DataError(
                f"{folder}: its scores are normalized ({job.scoring}), but a calibration is for "
                "plain cosines, as `verify` computes them; evaluate without a norm"
            )
        found = read_evaluated_vectors(folder, job, vectors) if with_vectors else None
        known_speakers = listed_speakers(speakers, folder / SCORES)
        trials = read_evaluated_trials(folder, job, known_speakers, progress)
        if min_speech:
            trials = trials.with_speech(min_speech)
        return cls(
            read_result(folder, "encoder") or "",
            job.weights_sha256,
            job.embedding_sha256,
            Path(job.root).name,
            trials,
            None if found is None else trials.with_vectors(found, job.root),
            True,
        )

    @classmethod
    def of_scores(
        cls,
        scores: Path,
        speakers: Speakers,
        vectors: str | Path | None,
        root: str | Path,
        min_speech: float,
    ) -> CalibrationSource:
        """Read a file from `score`, and the vectors that were scored.

        The conditions are read from the vectors' table; vectors of other tools have none. Arguments
        as for `calibrate`. Raises ConfigError without `vectors`, DataError for scores that are not
        the vectors' cosines.
        """
        if vectors is None:
            raise ConfigError(
                f"`vectors`: {scores} does not say which encoder its scores are from; give the "
                f"vectors that were scored{_or_folder(Path(scores))}"
            )
        listed, found = read_scores(scores), read_vectors(vectors)
        weights, embedding = identity_of(found, vectors)
        if not listed.trials.is_labeled:
            raise DataError(
                f"{scores}: a calibration needs labeled target and non-target trials, as `score` "
                "writes them for a list with labels"
            )
        rows = _rows(listed.trials, found, root, vectors)
        measured = conditions_of(found, rows)
        if measured is None and (embedding or min_speech):
            raise DataError(
                f"{vectors}: its table lacks net speech and bandwidth of recordings"
                + (
                    ", because an older version of timbral wrote it; embed into a new folder"
                    if embedding
                    else ", so `min_speech` cannot leave anything out"
                )
            )
        trials = _trials(listed, speakers, found, rows, measured)
        if min_speech:
            trials = trials.with_speech(min_speech)
            rows = found.rows_of(trials.names, root)
        recordings = trials.recordings(found.vectors[rows])
        if recordings is None:
            raise DataError(
                f"{scores}: its scores are not the cosines of the vectors in {vectors}. A "
                "calibration is for cosines of one encoder, so score these vectors, without a "
                "`norm`"
            )
        return cls(
            found.encoder, weights, embedding, scores.name, trials, recordings, measured is not None
        )


def _rows(trials: TrialList, found: NamedVectors, root: str | Path, vectors: str | Path) -> Ints:
    """The row of each name's vector (K,); DataError if one has none."""
    rows = found.rows_of(trials.names, root)
    if (rows < 0).any():
        raise DataError(
            f"{np.count_nonzero(rows < 0):,} of {len(rows):,} recordings of the trials have no "
            f"vector in {vectors}, the first {trials.names[int(np.argmin(rows))].as_py()!r}; give "
            "the vectors that were scored, and, if names are relative paths, the `root` (scores "
            "of `enrollment` models cannot be calibrated)"
        )
    return rows


def _trials(
    listed: ScoredList,
    speakers: Speakers,
    found: NamedVectors,
    rows: Ints,
    measured: Conditions | None,
) -> EvaluatedTrials:
    """The trials with speakers: those given, else those of the vectors' table, else guessed."""
    if speakers is None and found.speakers is not None:
        names = found.speakers.take(pa.array(rows))
        unknown = pc.sum(pc.equal(names, "")).as_py()
        if unknown:
            raise DataError(
                f"{unknown:,} of {len(rows):,} recordings of the trials have no speaker in the "
                "vectors' table; give `speakers`"
            )
        codes = numbered(names)
    else:
        codes = certain_speakers_of(listed.trials, speakers)
    conditions = Conditions(*np.ones((3, len(rows)))) if measured is None else measured
    return EvaluatedTrials.of(listed, codes, conditions)


def _where_evaluations_are(folder: Path) -> str:
    """Advice for a folder that is no evaluation: the evaluations in it, if it is a run."""
    from timbral.checkpoints.run_card import EVALUATIONS  # imports torch

    inside = sorted(path for path in (folder / EVALUATIONS).glob("*/") if path.is_dir())
    found = [path for path in inside if EvaluationJob.of_folder(path) is not None]
    if found:
        return f"give one of this run: {', '.join(map(str, found))}"
    return "`timbral evaluate --output` writes one"


def _or_folder(scores: Path) -> str:
    """Advice for scores in the folder of an evaluation: the folder may be given instead."""
    is_evaluation = EvaluationJob.of_folder(scores.parent) is not None
    return f", or give the evaluation's folder, {scores.parent}" if is_evaluation else ""
