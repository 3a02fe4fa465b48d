"""From an evaluation's folder to a Calibration."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from timbral.calibration.calibration import Calibration, FittedOn
from timbral.calibration.calibration_file import CALIBRATION, CALIBRATION_FILE, write_calibration
from timbral.calibration.conditions import Ranges
from timbral.errors import ConfigError, DataError
from timbral.evaluation.evaluated_trials import read_evaluated_trials, read_evaluated_vectors
from timbral.evaluation.evaluation_job import EvaluationJob
from timbral.io.files import read_json
from timbral.io.outputs import claim_file
from timbral.io.types import Progress
from timbral.scoring.calibration_fit import DIRECTIONS, Fit, TrialData, fit_trials

__all__ = ["calibrate"]


def calibrate(
    evaluation: str | Path,
    output: str | Path | None = None,
    *,
    speakers: str | Path | Mapping[str, str] | None = None,
    vectors: str | Path | None = None,
    directions: int | None = None,
    min_speech: float = 0.0,
    description: str = "",
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """Fit a Calibration to an evaluation, for `verify` with the same encoder.

    The recordings are read again and measured: net speech, bandwidth, noise. Those of the trials
    should be like the ones that will be compared later, and of many speakers. From their vectors
    are taken the directions in which recordings of one speaker differ most (nuisance attribute
    projection), as many as make it better on speakers that it was not fitted on.

    Args:
        evaluation: a folder that `evaluate` wrote, with its recordings where they were
        output: the file; None: calibration.json in the folder
        speakers: the speaker of each name in the list, or a file of lines ``name speaker``; None:
            recordings that target trials join are of one
        vectors: the evaluation's, where they are not any more where it left them
        directions: how many are taken out, fewer than vectors have dimensions; 0: none, and no
            vectors are read; None: as many as help, at most 40
        min_speech: seconds of net speech that both recordings of a trial need; others are left out,
            and no rate of false accepts is promised of recordings that have less
        description: what the recordings are, for whoever relies on the calibration
        progress: called with the recordings measured so far, and their number

    Raises DataError when the folder holds no evaluation or normalized scores, a recording or the
    vectors cannot be read any more, trials are of fewer than 20 speakers, or scores do not rise
    with likeness; ConfigError for an impossible `min_speech`.
    """
    if not 0 <= min_speech < math.inf:
        raise ConfigError(f"`min_speech` is a number of seconds, such as 2; got {min_speech}")
    folder = Path(evaluation)
    path = folder / CALIBRATION_FILE if output is None else Path(output)
    job = EvaluationJob.of_folder(folder)
    if job is None:
        raise DataError(f"{folder}: holds no evaluation; `timbral evaluate --output` writes one")
    if job.scoring:
        raise DataError(
            f"{folder}: its scores are normalized ({job.scoring}); verify compares cosines, and so "
            "a calibration is of cosines"
        )
    claim_file(path, CALIBRATION)
    tried = DIRECTIONS if directions is None else (directions,)
    found = None if directions == 0 else read_evaluated_vectors(folder, job, vectors)
    trials = read_evaluated_trials(folder, job, speakers, progress)
    if min_speech:
        trials = trials.with_speech(min_speech)
    ranges = Ranges.of(trials.conditions)
    recordings = None if found is None else trials.with_vectors(found, job.root)
    fit = fit_trials(trials.data, ranges, recordings, directions=tried)
    calibration = Calibration(
        _encoder(folder),
        job.weights_sha256,
        job.embedding_sha256,
        fit.offset,
        fit.scale,
        ranges,
        fit.limits,
        fit.points,
        _fitted_on(fit, trials.data, description or Path(job.root).name),
        tuple(tuple(row) for row in fit.nuisance.tolist()),
    )
    write_calibration(path, calibration)
    return calibration


def _encoder(folder: Path) -> str:
    content = read_json(folder / "evaluation.json")
    name = content.get("encoder") if isinstance(content, dict) else None
    return name if isinstance(name, str) else ""


def _fitted_on(fit: Fit, data: TrialData, description: str) -> FittedOn:
    digest = hashlib.sha256()
    for column in (data.scores, data.labels, data.first, data.second):
        digest.update(np.ascontiguousarray(column).tobytes())
    for side in (data.first_conditions, data.second_conditions):
        for measures in vars(side).values():
            digest.update(np.ascontiguousarray(measures, dtype=np.float64).tobytes())
    targets = int(data.labels.sum())
    return FittedOn(
        description,
        digest.hexdigest(),
        len(np.union1d(data.first, data.second)),
        targets,
        len(data.labels) - targets,
        fit.cllr,
        fit.cllr_interval.low,
        fit.cllr_interval.high,
        fit.min_cllr,
    )
