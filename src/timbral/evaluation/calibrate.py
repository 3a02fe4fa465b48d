"""Fit a Calibration to an evaluation, or to scores and their vectors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.calibration.calibration_file import CALIBRATION, CALIBRATION_FILE, write_calibration
from timbral.calibration.conditions import Ranges
from timbral.errors import ConfigError
from timbral.evaluation.calibration_source import CalibrationSource
from timbral.io.outputs import claim_file
from timbral.io.types import Progress
from timbral.scoring.calibration_fit import DIRECTIONS, TrialData, fit_trials

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

    The recordings are read again and measured (net speech, bandwidth, noise). The trials should be
    like those to be decided later, with many speakers. The directions in which recordings of one
    speaker differ most are removed from the vectors (nuisance attribute projection), as many as
    help on held-out speakers.

    Scores, also of other tools' vectors (`import_embeddings`), are calibrated with the vectors that
    they are cosines of. Their recordings are unknown, so there is one calibration for all
    conditions (`measured` is False); `score` and galleries accept it for vectors with the same name
    and hash.

    Args:
        evaluation: a folder from `evaluate`, with its recordings in place, or a file from `score`
        output: the file; None: calibration.json in the folder
        speakers: the speaker of each name in the list, or a file of lines ``name speaker``; None:
            for scores, those of the vectors' table if it has any; else groups of recordings
            connected by target trials, if non-target trials show that these are different speakers
        vectors: the vectors of the scores; for an evaluation only if they were moved
        directions: number of directions to remove, fewer than the vectors' dimensions; 0: none, and
            an evaluation's vectors are not read; None: as many as help, at most 40
        min_speech: seconds of net speech that both recordings of a trial need; other trials are
            left out, and no false accept rate is promised for shorter recordings
        root: for scores: the folder that relative paths refer to, as for `score`
        description: what the recordings are, stored for users of the calibration
        progress: called with the number of recordings measured so far, and in all

    Raises:
        DataError: the folder has no evaluation, or normalized scores; a recording or the vectors
            cannot be read any more; scores are not the vectors' cosines; the vectors do not name
            their weights; the speakers are unknown, or fewer than 20; or scores do not increase
            with similarity
        ConfigError: impossible `min_speech`, or scores without `vectors` or `output`
    """
    if not 0 <= min_speech < math.inf:
        raise ConfigError(f"`min_speech` must be a number of seconds, such as 2; got {min_speech}")
    given = Path(evaluation)
    if output is None and given.is_file():
        raise ConfigError("`output`: give a file for the calibration of these scores")
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
        encoder=source.encoder,
        weights_sha256=source.weights_sha256,
        embedding_sha256=source.embedding_sha256,
        offset=fit.offset,
        scale=fit.scale,
        ranges=ranges,
        limits=fit.limits,
        points=fit.points,
        fitted_on=fit.fitted_on(data, description or source.description, _hash(data)),
        nuisance=tuple(tuple(row) for row in fit.nuisance.tolist()),
        measured=source.measured,
        short_seconds=fit.short_seconds,
        short_points=fit.short_points,
    )
    write_calibration(path, calibration)
    return calibration


def _hash(data: TrialData) -> str:
    """The SHA-256 of scores, labels, speakers and conditions."""
    digest = hashlib.sha256()
    for column in (data.scores, data.labels, data.first, data.second):
        digest.update(np.ascontiguousarray(column).tobytes())
    for side in (data.first_conditions, data.second_conditions):
        for measures in vars(side).values():
            digest.update(np.ascontiguousarray(measures, dtype=np.float64).tobytes())
    return digest.hexdigest()
