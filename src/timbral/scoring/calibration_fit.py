"""Fitting a Calibration to scored trials, and what it promises of speakers it has not seen.

Everything that is said of a Calibration's accuracy is cross-validated over speakers: the llr of a
trial is then that of a fit to trials in which neither of its speakers occurs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from timbral.calibration.calibration import OperatingPoint, design, lowest_scale
from timbral.calibration.conditions import FEATURES, Conditions, Ranges
from timbral.errors import DataError
from timbral.io.types import Floats, Ints
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import Interval, SpeakerBootstrap, cllr_of
from timbral.scoring.logistic import fit_logistic
from timbral.scoring.metrics import ScoreCounts, cllr
from timbral.scoring.rate_bounds import upper_bounds

__all__ = ["Fit", "TrialData", "fit_trials"]

FOLDS = 5
MIN_SPEAKERS = 20
"""of a Calibration: fewer say nothing of others"""
PENALTY = 0.1
"""on standardized coefficients of conditions, in units of one speaker's trials"""
GAIN = 0.99
"""conditions are used when they lower the cross-validated Cllr to this fraction or less"""
LLR_STEP = 0.1
"""between operating points"""
DRAWS = 1000


class ScoresFallError(DataError):
    """In some conditions the llr would fall where the score rises."""


@dataclass(frozen=True)
class TrialData:
    """N scored trials with their conditions.

    `scores`, `labels` (1: target), `first` and `second` (numbers of the speakers), each (N,); the
    conditions of both sides.
    """

    scores: Floats
    labels: Ints
    first: Ints
    second: Ints
    first_conditions: Conditions
    second_conditions: Conditions

    def select(self, rows: NDArray[np.bool_]) -> TrialData:
        """Some of the trials."""
        return TrialData(
            self.scores[rows],
            self.labels[rows],
            self.first[rows],
            self.second[rows],
            self.first_conditions.rows(rows),
            self.second_conditions.rows(rows),
        )


@dataclass(frozen=True)
class Fit:
    """Coefficients, and what deciding by them costs."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    limits: tuple[float, float]
    points: tuple[OperatingPoint, ...]
    cllr: float
    cllr_interval: Interval
    min_cllr: float


def fit_trials(data: TrialData, ranges: Ranges, *, draws: int = DRAWS, seed: int = 0) -> Fit:
    """Fit llr = offset · (1, q) + (scale · (1, q)) · score to trials.

    Conditions q are used when that lowers the cross-validated Cllr, and the llr rises with the
    score in all conditions within `ranges`. Raises DataError for fewer than
    `MIN_SPEAKERS` speakers, and for scores that do not rise with likeness.
    """
    speakers = np.union1d(data.first, data.second)
    if len(speakers) < MIN_SPEAKERS:
        raise DataError(
            f"a calibration needs {MIN_SPEAKERS} speakers or more; these trials have "
            f"{len(speakers)}"
        )
    folds = np.zeros(int(speakers.max()) + 1, dtype=np.int64)
    folds[np.random.default_rng(seed).permutation(speakers)] = np.arange(len(speakers)) % FOLDS
    llrs = _cross_validated(data, ranges, folds, 1)
    offset, scale = _coefficients(data, ranges, 1)
    with suppress(ScoresFallError):  # then the cosine alone has to do
        of_conditions = _cross_validated(data, ranges, folds, 1 + len(FEATURES))
        if cllr(of_conditions, data.labels) <= GAIN * cllr(llrs, data.labels):
            offset, scale = _coefficients(data, ranges, 1 + len(FEATURES))
            llrs = of_conditions
    bootstrap = SpeakerBootstrap(llrs, data.labels, data.first, data.second, draws=draws, seed=seed)
    points = _operating_points(bootstrap, llrs, data)
    return Fit(
        tuple(offset.tolist()),
        tuple(scale.tolist()),
        (
            float(np.log(min(point.false_reject_bound for point in points))),
            float(-np.log(min(point.false_accept_bound for point in points))),
        ),
        points,
        cllr(llrs, data.labels),
        bootstrap.interval(cllr_of(bootstrap.lows)),
        convex_hull(ScoreCounts.of(llrs, data.labels)).min_cllr,
    )


def _cross_validated(data: TrialData, ranges: Ranges, folds: Ints, columns: int) -> Floats:
    """The llr (N,) of each trial by a fit without its two speakers' folds."""
    llrs = np.zeros(len(data.scores))
    sides = folds[data.first], folds[data.second]
    for one, other in combinations_with_replacement(range(FOLDS), 2):
        pair = (one, other)
        held_out = ((sides[0] == one) & (sides[1] == other)) | (
            (sides[0] == other) & (sides[1] == one)
        )
        if not held_out.any():
            continue
        kept = ~np.isin(sides[0], pair) & ~np.isin(sides[1], pair)
        offset, scale = _coefficients(data.select(kept), ranges, columns)
        tested = data.select(held_out)
        features = _design(tested, ranges, columns)
        llrs[held_out] = features @ offset + (features @ scale) * tested.scores
    return llrs


def _coefficients(data: TrialData, ranges: Ranges, columns: int) -> tuple[Floats, Floats]:
    """Offset and scale (columns,), with target and non-target trials of equal weight."""
    targets = int(data.labels.sum())
    if targets in (0, len(data.labels)):
        raise DataError("a calibration needs target and non-target trials of every fifth speaker")
    features = _design(data, ranges, columns)
    middle, spread = features[:, 1:].mean(axis=0), features[:, 1:].std(axis=0)
    varied = np.where(spread > 1e-6, spread, np.inf)  # what never changes gets no coefficient
    features[:, 1:] = (features[:, 1:] - middle) / varied
    score_middle, score_spread = data.scores.mean(), data.scores.std()
    score = (data.scores - score_middle) / score_spread
    speakers = len(np.union1d(data.first, data.second))
    weights = np.where(data.labels == 1, 0.5 / targets, 0.5 / (len(score) - targets)) * speakers
    penalty = np.full(2 * columns, PENALTY)
    penalty[[0, columns]] = 0.0
    penalty[columns] = PENALTY / 100  # scores without overlap have no other end
    found = fit_logistic(
        np.concatenate((features, features * score[:, None]), axis=1), data.labels, weights, penalty
    )
    offset, scale = (_unscale(half, middle, varied) for half in (found[:columns], found[columns:]))
    scale = scale / score_spread
    offset = offset - scale * score_middle
    if lowest_scale(scale, ranges) <= 0:
        raise ScoresFallError(
            "in these trials a higher score does not mean more alike; the labels or the scores are "
            "wrong, or there are too few trials"
        )
    return offset, scale


def _unscale(standardized: Floats, middle: Floats, spread: Floats) -> Floats:
    rest = standardized[1:] / spread
    return np.concatenate(([standardized[0] - rest @ middle], rest))


def _design(data: TrialData, ranges: Ranges, columns: int) -> Floats:
    return design(ranges.clip(data.first_conditions), ranges.clip(data.second_conditions), columns)


def _operating_points(
    bootstrap: SpeakerBootstrap, llrs: Floats, data: TrialData
) -> tuple[OperatingPoint, ...]:
    """Rates and their bounds at thresholds every tenth of a nat."""
    target = data.labels == 1
    grid = np.arange(np.floor(llrs.min()), np.ceil(llrs.max()) + LLR_STEP, LLR_STEP)
    at = np.unique(np.searchsorted(bootstrap.lows, grid))
    at = at[at < len(bootstrap.lows)]
    thresholds = bootstrap.lows[at]
    pairs = np.stack((data.first[~target], data.second[~target]))
    distinct_pairs = np.unique(np.sort(pairs, axis=0), axis=1).shape[1]
    speakers = len(np.unique(data.first[target]))
    columns: Iterator[tuple[Floats, Floats]] = (
        (rates, upper_bounds(rates, bootstrap.values(figure), num_trials, independent))
        for rates, figure, num_trials, independent in (
            (
                _rate_from(np.sort(llrs[~target]), thresholds),
                lambda miss, false_alarm: false_alarm[:, at],
                int((~target).sum()),
                distinct_pairs,
            ),
            (
                1.0 - _rate_from(np.sort(llrs[target]), thresholds),
                lambda miss, false_alarm: miss[:, at],
                int(target.sum()),
                speakers,
            ),
        )
    )
    (accept, accept_bound), (reject, reject_bound) = columns
    accept_bound = np.minimum.accumulate(accept_bound)  # a stricter threshold accepts no more
    reject_bound = np.maximum.accumulate(reject_bound)
    rows = zip(thresholds, accept, accept_bound, reject, reject_bound, strict=True)
    return tuple(OperatingPoint(*(float(f"{value:.6g}") for value in row)) for row in rows)


def _rate_from(scores: Floats, thresholds: Floats) -> Floats:
    """The fraction of sorted scores that reach each threshold."""
    return 1.0 - np.searchsorted(scores, thresholds) / len(scores)
