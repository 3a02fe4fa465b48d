"""Fit a Calibration to scored trials, and bound its error rates for unseen speakers.

All accuracy figures are cross-validated over speakers: the llr of a trial is that of a fit to
trials in which neither of its speakers occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from timbral.calibration.calibration import FittedOn, OperatingPoint, design, lowest_scale
from timbral.calibration.conditions import FEATURES, Conditions, Ranges
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.hull import convex_hull
from timbral.scoring.intervals import Interval, SpeakerBootstrap, cllr_of
from timbral.scoring.logistic import fit_logistic
from timbral.scoring.metrics import SortedScores, cllr
from timbral.scoring.operating_points import operating_points
from timbral.scoring.ranked_trials import RankedTrials
from timbral.scoring.trial_vectors import TrialVectors

__all__ = ["CalibrationFit", "TrialData", "fit_trials"]

FOLDS = 5
MIN_SPEAKERS = 20
"""fewer speakers do not represent others, so they get no calibration"""
PENALTY = 0.1
"""quadratic penalty on standardized coefficients of conditions, relative to one speaker's trials"""
GAIN = 0.99
"""conditions, and more directions, are used when they lower the cross-validated Cllr to this
fraction or less"""
DIRECTIONS = (0, 1, 2, 5, 10, 20, 40)
"""numbers of nuisance directions to try, as far as the vectors allow"""
DRAWS = 1000
SHORT_SECONDS = 1.0
"""below this much net speech on the shorter side, trials get operating points of their own: the
threshold of all trials accepts twice as many different speakers there (docs/calibration.md), but no
more than elsewhere from 1 to 2 s"""


class ScoresFallError(DataError):
    """In some conditions the llr would fall as the score rises."""


@dataclass(frozen=True)
class TrialData:
    """N scored trials with their conditions.

    `scores`, `labels` (1: target), `first` and `second` (speaker numbers), each (N,); the
    conditions of both sides.
    """

    scores: Floats
    labels: Ints
    first: Ints
    second: Ints
    first_conditions: Conditions
    second_conditions: Conditions

    def select(self, rows: NDArray[np.bool_]) -> TrialData:
        """The trials of a mask (N,)."""
        return TrialData(
            self.scores[rows],
            self.labels[rows],
            self.first[rows],
            self.second[rows],
            self.first_conditions.rows(rows),
            self.second_conditions.rows(rows),
        )


@dataclass(frozen=True)
class CalibrationFit:
    """Coefficients of a calibration, and the error rates of its decisions."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    limits: tuple[float, float]
    points: tuple[OperatingPoint, ...]
    nuisance: Vectors
    """(D, E) directions to remove from vectors before their cosine"""
    cllr: float
    cllr_interval: Interval
    min_cllr: float
    short_points: tuple[OperatingPoint, ...]
    """for trials with a recording of less than `SHORT_SECONDS` of net speech; empty if too few"""
    llrs: Floats
    """(N,), the llr of each trial from a fit without its speakers"""

    @property
    def short_seconds(self) -> float:
        """`SHORT_SECONDS`; 0 without `short_points`."""
        return SHORT_SECONDS if self.short_points else 0.0

    def fitted_on(self, data: TrialData, description: str, sha256: str) -> FittedOn:
        """What a Calibration says of `data`, the trials of this fit, and of its quality."""
        targets = int(data.labels.sum())
        return FittedOn(
            description=description,
            sha256=sha256,
            num_speakers=len(np.union1d(data.first, data.second)),
            num_targets=targets,
            num_nontargets=len(data.labels) - targets,
            cllr=self.cllr,
            cllr_low=self.cllr_interval.low,
            cllr_high=self.cllr_interval.high,
            min_cllr=self.min_cllr,
        )


def fit_trials(
    data: TrialData,
    ranges: Ranges,
    recordings: TrialVectors | None = None,
    *,
    directions: Sequence[int] = DIRECTIONS,
    draws: int = DRAWS,
    seed: int = 0,
    measured: bool = True,
) -> CalibrationFit:
    """Fit llr = offset · (1, q) + (scale · (1, q)) · score to trials.

    Conditions q are used when that lowers the cross-validated Cllr, and the llr rises with the
    score in all conditions within `ranges`.

    Args:
        data: the trials, with the cosines of their vectors
        ranges: allowed ranges of the conditions
        recordings: the vectors of the trials; scores are then cosines without the nuisance
            directions that lower the cross-validated Cllr, estimated on the same speakers as the
            coefficients. None: use `data.scores`
        directions: numbers of directions to try; a single one is always used
        draws: number of draws of speakers, for bounds and intervals
        seed: of folds and draws
        measured: whether the conditions are known; if not, no trial counts as short

    Raises DataError for fewer than `MIN_SPEAKERS` speakers, scores that are not higher for the same
    speaker, and a single number of directions for which there are too few recordings.
    """
    speakers = np.union1d(data.first, data.second)
    if len(speakers) < MIN_SPEAKERS:
        raise DataError(
            f"a calibration needs at least {MIN_SPEAKERS} speakers; these trials have "
            f"{len(speakers)}"
        )
    folds = np.zeros(int(speakers.max()) + 1, dtype=np.int64)
    folds[np.random.default_rng(seed).permutation(speakers)] = np.arange(len(speakers)) % FOLDS
    chosen = _choose(data, ranges, recordings, folds, directions)
    nuisance = np.zeros((0, 0), np.float32)
    if recordings is not None:
        nuisance = recordings.nuisance(chosen.directions)
        data = replace(data, scores=recordings.cosines(nuisance))
    offset, scale = _coefficients(data, ranges, chosen.columns)
    llrs = chosen.llrs
    ranked = RankedTrials.of(llrs, data.labels)
    bootstrap = SpeakerBootstrap(ranked, data.first, data.second, draws=draws, seed=seed)
    points = operating_points(bootstrap, llrs, data.labels, data.first, data.second)
    return CalibrationFit(
        tuple(offset.tolist()),
        tuple(scale.tolist()),
        (
            float(np.log(min(point.false_reject_bound for point in points))),
            float(-np.log(min(point.false_accept_bound for point in points))),
        ),
        points,
        nuisance,
        cllr(llrs, data.labels),
        bootstrap.interval(cllr_of(bootstrap.lows)),
        convex_hull(SortedScores(*ranked.kinds)).min_cllr,
        _short_points(data, llrs, draws, seed) if measured else (),
        llrs,
    )


def _short_points(
    data: TrialData, llrs: Floats, draws: int, seed: int
) -> tuple[OperatingPoint, ...]:
    """Operating points of trials with little speech on a side; empty for too few speakers."""
    conditions = data.first_conditions, data.second_conditions
    is_short = np.minimum(*(side.speech_seconds for side in conditions)) < SHORT_SECONDS
    short, llrs = data.select(is_short), llrs[is_short]
    is_target = short.labels == 1
    target_speakers = np.unique(short.first[is_target])
    nontarget_speakers = np.union1d(short.first[~is_target], short.second[~is_target])
    if min(len(target_speakers), len(nontarget_speakers)) < MIN_SPEAKERS:
        return ()
    sides = short.first, short.second
    ranked = RankedTrials.of(llrs, short.labels)
    bootstrap = SpeakerBootstrap(ranked, *sides, draws=draws, seed=seed)
    return operating_points(bootstrap, llrs, short.labels, *sides)


@dataclass(frozen=True)
class _Form:
    """Numbers of directions and of feature columns of a fit, and its cross-validated llrs (N,)."""

    directions: int
    columns: int
    llrs: Floats


def _choose(
    data: TrialData,
    ranges: Ranges,
    recordings: TrialVectors | None,
    folds: Ints,
    directions: Sequence[int],
) -> _Form:
    """The form with the lowest cross-validated Cllr, or a simpler one that is nearly as good."""
    if recordings is None:
        return _with_or_without_conditions(data, ranges, folds, lambda held_out: data.scores, 0)
    forms = []
    for count in directions:
        scorer = _scorer(recordings, folds, count)
        try:
            forms.append(_with_or_without_conditions(data, ranges, folds, scorer, count))
        except (ConfigError, DataError):  # too many for these vectors
            if not forms:
                raise
    costs = [cllr(form.llrs, data.labels) for form in forms]
    return next(form for form, cost in zip(forms, costs, strict=True) if GAIN * cost <= min(costs))


def _with_or_without_conditions(
    data: TrialData, ranges: Ranges, folds: Ints, scorer: _Scorer, count: int
) -> _Form:
    llrs = _cross_validated(data, ranges, folds, scorer, 1)
    columns = 1 + len(FEATURES)
    if not np.ptp(_design(data, ranges, columns), axis=0).any():  # constant conditions
        return _Form(count, 1, llrs)
    with suppress(ScoresFallError):  # then only the cosine is used
        with_conditions = _cross_validated(data, ranges, folds, scorer, columns)
        if cllr(with_conditions, data.labels) <= GAIN * cllr(llrs, data.labels):
            return _Form(count, columns, with_conditions)
    return _Form(count, 1, llrs)


_Scorer: TypeAlias = Callable[[tuple[int, int]], Floats]
"""from two folds of speakers to scores (N,) of all trials, learned without these folds"""


def _scorer(recordings: TrialVectors, folds: Ints, count: int) -> _Scorer:
    """Cosines without `count` nuisance directions."""

    def scores(held_out: tuple[int, int]) -> Floats:
        rows = np.isin(folds[recordings.speakers], held_out)
        return recordings.cosines(recordings.nuisance(count, rows))

    return scores


def _cross_validated(
    data: TrialData, ranges: Ranges, folds: Ints, scorer: _Scorer, columns: int
) -> Floats:
    """The llr (N,) of each trial, from a fit without the folds of its two speakers."""
    llrs = np.zeros(len(data.scores))
    sides = folds[data.first], folds[data.second]
    for pair in combinations_with_replacement(range(FOLDS), 2):
        one, other = pair
        held_out = ((sides[0] == one) & (sides[1] == other)) | (
            (sides[0] == other) & (sides[1] == one)
        )
        if not held_out.any():
            continue
        scored = replace(data, scores=scorer(pair))
        kept = ~np.isin(sides[0], pair) & ~np.isin(sides[1], pair)
        offset, scale = _coefficients(scored.select(kept), ranges, columns)
        tested = scored.select(held_out)
        features = _design(tested, ranges, columns)
        llrs[held_out] = features @ offset + (features @ scale) * tested.scores
    return llrs


def _coefficients(data: TrialData, ranges: Ranges, columns: int) -> tuple[Floats, Floats]:
    """Offset and scale (columns,), with target and non-target trials of equal weight."""
    targets = int(data.labels.sum())
    if targets in (0, len(data.labels)):
        raise DataError(
            "a calibration needs target and non-target trials in each fifth of the speakers"
        )
    features = _design(data, ranges, columns)
    mean, std = features[:, 1:].mean(axis=0), features[:, 1:].std(axis=0)
    varied = np.where(std > 1e-6, std, np.inf)  # a constant feature gets no coefficient
    features[:, 1:] = (features[:, 1:] - mean) / varied
    score_mean, score_std = data.scores.mean(), data.scores.std()
    score = (data.scores - score_mean) / score_std
    speakers = len(np.union1d(data.first, data.second))
    weights = np.where(data.labels == 1, 0.5 / targets, 0.5 / (len(score) - targets)) * speakers
    penalty = np.full(2 * columns, PENALTY)
    penalty[[0, columns]] = 0.0
    penalty[columns] = PENALTY / 100  # bounds the scale if the scores do not overlap
    coefficients = fit_logistic(
        np.concatenate((features, features * score[:, None]), axis=1), data.labels, weights, penalty
    )
    offset, scale = (
        _unscale(half, mean, varied) for half in (coefficients[:columns], coefficients[columns:])
    )
    scale = scale / score_std
    offset = offset - scale * score_mean
    if lowest_scale(scale, ranges) <= 0:
        raise ScoresFallError(
            "in these trials a higher score does not mean the same speaker; the labels or the "
            "scores are wrong, or there are too few trials"
        )
    return offset, scale


def _unscale(standardized: Floats, mean: Floats, std: Floats) -> Floats:
    rest = standardized[1:] / std
    return np.concatenate(([standardized[0] - rest @ mean], rest))


def _design(data: TrialData, ranges: Ranges, columns: int) -> Floats:
    return design(ranges.clip(data.first_conditions), ranges.clip(data.second_conditions), columns)
