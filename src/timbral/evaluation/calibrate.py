"""From an evaluation, or scores and their vectors, to a Calibration."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from timbral.calibration.calibration import Calibration, FittedOn
from timbral.calibration.calibration_file import CALIBRATION, CALIBRATION_FILE, write_calibration
from timbral.calibration.conditions import Ranges
from timbral.errors import ConfigError
from timbral.evaluation.calibration_source import CalibrationSource
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
    root: str | Path = "",
    description: str = "",
    progress: Progress = lambda done, total: None,
) -> Calibration:
    """Fit a Calibration to an evaluation, for `verify` with the same encoder, or to scores.

    The recordings are read again and measured: net speech, bandwidth, noise. Those of the trials
    should be like the ones that will be compared later, and of many speakers. From their vectors
    are taken the directions in which recordings of one speaker differ most (nuisance attribute
    projection), as many as make it better on speakers that it was not fitted on.

    Scores of a list of trials are calibrated from the vectors that they are the cosines of, also of
    other tools' (`import_embeddings`), of whose recordings nothing is known: the calibration is
    then one for all conditions (`measured` is False), and `score` and galleries take it for vectors
    of the same name and hash.

    Args:
        evaluation: a folder that `evaluate` wrote, with its recordings where they were; or a file
            that `score` wrote
        output: the file; None: calibration.json in the folder
        speakers: the speaker of each name in the list, or a file of lines ``name speaker``; None:
            those of the vectors' table with scores that have one; else recordings that target
            trials join are of one
        vectors: the evaluation's, where they are not any more where it left them; those that were
            scored
        directions: how many are taken out, fewer than vectors have dimensions; 0: none, and no
            vectors of an evaluation are read; None: as many as help, at most 40
        min_speech: seconds of net speech that both recordings of a trial need; others are left out,
            and no rate of false accepts is promised of recordings that have less
        root: of scores: where their relative paths start, as for `score`
        description: what the recordings are, for whoever relies on the calibration
        progress: called with the recordings measured so far, and their number

    Raises DataError when the folder holds no evaluation or normalized scores, a recording or the
    vectors cannot be read any more, scores are not the cosines of the vectors, these do not say of
    which weights they are, trials are of fewer than 20 speakers, or scores do not rise with
    likeness; ConfigError for an impossible `min_speech`, and scores without `vectors` or `output`.
    """
    if not 0 <= min_speech < math.inf:
        raise ConfigError(f"`min_speech` is a number of seconds, such as 2; got {min_speech}")
    given = Path(evaluation)
    if output is None and given.is_file():
        raise ConfigError("`output`: name the file for the calibration of these scores")
    path = given / CALIBRATION_FILE if output is None else Path(output)
    claim_file(path, CALIBRATION, [given])
    if given.is_file():
        source = CalibrationSource.of_scores(given, speakers, vectors, root, min_speech)
    else:
        source = CalibrationSource.of_evaluation(
            given, speakers, vectors, min_speech, directions != 0, progress
        )
    data = source.trials.data
    ranges = Ranges.of(source.trials.conditions)
    tried = DIRECTIONS if directions is None else (directions,)
    fit = fit_trials(data, ranges, source.recordings, directions=tried, measured=source.measured)
    calibration = Calibration(
        source.encoder,
        source.weights_sha256,
        source.embedding_sha256,
        fit.offset,
        fit.scale,
        ranges,
        fit.limits,
        fit.points,
        _fitted_on(fit, data, description or source.description),
        tuple(tuple(row) for row in fit.nuisance.tolist()),
        source.measured,
        fit.short_seconds,
        fit.short_points,
    )
    write_calibration(path, calibration)
    return calibration


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
