"""From an evaluation's folder to a Calibration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from timbral.audio.decode import decode
from timbral.audio.quality.measure import measure
from timbral.audio.quality.measures import Quality
from timbral.calibration.calibration import Calibration, FittedOn
from timbral.calibration.calibration_file import CALIBRATION, CALIBRATION_FILE, write_calibration
from timbral.calibration.conditions import Conditions, Ranges
from timbral.errors import AudioError, DataError
from timbral.evaluation.evaluation_job import EvaluationJob
from timbral.io.files import read_json
from timbral.io.outputs import claim_file
from timbral.io.storage import location_below
from timbral.io.threads import map_ahead
from timbral.io.types import Progress
from timbral.scoring.calibration_fit import Fit, TrialData, fit_trials
from timbral.scoring.score_file import SCORES, read_scores
from timbral.scoring.trial_speakers import speakers_of

__all__ = ["calibrate", "read_trial_data"]


def calibrate(
    evaluation: str | Path,
    output: str | Path | None = None,
    *,
    speakers: str | Path | Mapping[str, str] | None = None,
    description: str = "",
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """Fit a Calibration to the scores of an evaluation, for `verify` with the same encoder.

    The recordings are read again and measured: net speech, bandwidth, noise. Those of the trials
    should be like the ones that will be compared later, and of many speakers.

    Args:
        evaluation: a folder that `evaluate` wrote, with its recordings where they were
        output: the file; None: calibration.json in the folder
        speakers: the speaker of each name in the list, or a file of lines ``name speaker``; None:
            recordings that target trials join are of one
        description: what the recordings are, for whoever relies on the calibration
        progress: called with the recordings measured so far, and their number

    Raises DataError when the folder holds no evaluation or normalized scores, a recording cannot be
    read any more, trials are of fewer than 20 speakers, or scores do not rise with likeness.
    """
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
    data, conditions = read_trial_data(folder, job, speakers, progress)
    ranges = Ranges.of(conditions)
    fit = fit_trials(data, ranges)
    calibration = Calibration(
        _encoder(folder),
        job.weights_sha256,
        job.embedding_sha256,
        fit.offset,
        fit.scale,
        ranges,
        fit.limits,
        fit.points,
        _fitted_on(fit, data, description or Path(job.root).name),
    )
    write_calibration(path, calibration)
    return calibration


def read_trial_data(
    folder: Path,
    job: EvaluationJob,
    speakers: str | Path | Mapping[str, str] | None,
    progress: Progress = lambda done, total: None,
) -> tuple[TrialData, Conditions]:
    """The scored trials of an evaluation with their conditions, and those of each recording.

    `job` is that of the folder, `speakers` and `progress` as for `calibrate`. Raises DataError for
    a recording that cannot be read.
    """
    scored = read_scores(folder / SCORES)
    trials = scored.trials
    of_names = speakers_of(trials, speakers)
    locations = [location_below(job.root, name) for name in trials.names.to_pylist()]
    conditions = _measure(locations, progress)
    data = TrialData(
        scored.scores.astype(np.float64),
        trials.labels.astype(np.int64),
        of_names[trials.first],
        of_names[trials.second],
        conditions.rows(trials.first),
        conditions.rows(trials.second),
    )
    return data, conditions


def _measure(locations: list[str], progress: Progress) -> Conditions:
    """Conditions of recordings (N,); DataError for the first that cannot be read."""

    def measured(location: str) -> Quality:
        return measure(*decode(location))

    found: list[Quality] = []
    try:
        for each in map_ahead(measured, locations):
            found.append(each)
            progress(len(found), len(locations))
    except AudioError as error:
        raise DataError(
            f"{error}; the recordings of the evaluation have to be where they were"
        ) from None
    return Conditions.of(found)


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
