"""Error rates of speaker verification, from scores. Numpy only.

A trial is a pair of recordings: of one speaker in a target trial, of two in a non-target trial.
A higher score says more alike; a pair is accepted when score >= threshold. A miss is a target
trial that is rejected, a false alarm a non-target trial that is accepted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.ranked_trials import RankedTrials, check_scores

__all__ = [
    "ErrorRates",
    "OperatingPoint",
    "ScoreCounts",
    "actual_dcf",
    "batch_eer",
    "bayes_threshold",
    "check_false_accept",
    "check_p_target",
    "cllr",
    "detection_cost",
    "eer",
    "error_rates",
    "min_dcf",
    "threshold_at_false_alarm",
]


@dataclass(frozen=True)
class ErrorRates:
    """Miss and false-alarm rates at every threshold, the lowest threshold first.

    `thresholds` (K,); `miss` (K,) rises from 0 to 1, `false_alarm` (K,) falls from 1 to 0.
    """

    thresholds: Floats
    miss: Floats
    false_alarm: Floats

    def eer(self) -> tuple[float, float]:
        """Equal error rate in [0, 1] and its threshold; see the function `eer`."""
        difference = self.miss - self.false_alarm  # rises from -1 to 1
        after = int(np.searchsorted(difference, 0.0))
        before = after - 1
        fraction = -difference[before] / (difference[after] - difference[before])
        rate = self.miss[before] + fraction * (self.miss[after] - self.miss[before])
        threshold = self.thresholds[after]
        return float(rate), float(threshold if np.isfinite(threshold) else self.thresholds[before])

    def min_dcf(self, p_target: float) -> float:
        """Minimum of the normalized detection cost; see the function `min_dcf`."""
        check_p_target(p_target)
        return float(detection_cost(self.miss, self.false_alarm, p_target).min())


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does to the trials: a score of it or more is accepted."""

    threshold: float | None
    """None: no score is accepted"""
    false_accept: float
    """rate among the non-target trials"""
    false_reject: float
    """rate among the target trials"""


@dataclass(frozen=True)
class ScoreCounts:
    """Distinct scores (K,), the lowest first, and how many trials of both kinds have each (K,)."""

    scores: NDArray[Any]
    targets: Ints
    nontargets: Ints

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
        """Count `scores` (N,) under `labels` (N,); DataError as `RankedTrials.of` raises it."""
        return cls.of_ranked(RankedTrials.of(scores, labels))

    @classmethod
    def of_ranked(cls, trials: RankedTrials) -> ScoreCounts:
        """Count the scores of trials."""
        ends = np.flatnonzero(np.append(trials.scores[1:] != trials.scores[:-1], True))
        up_to = np.cumsum(trials.is_target, dtype=np.int64)[ends]
        targets = np.diff(up_to, prepend=0)
        return cls(trials.scores[ends], targets, np.diff(ends, prepend=-1) - targets)

    def error_rates(self) -> ErrorRates:
        """Rates at each score as threshold, and at one above all, which rejects everything."""
        return self._rates(slice(None), *self._below())

    def eer(self) -> tuple[float, float]:
        """Equal error rate in [0, 1] and its threshold; see the function `eer`.

        As `error_rates().eer()`, but of millions of thresholds only a few are looked at.
        """
        missed, rejected = self._below()

        def difference(row: int) -> float:
            return float(missed[row] / missed[-1] - (1.0 - rejected[row] / rejected[-1]))

        after = bisect_left(range(len(missed)), 0.0, key=difference)
        return self._rates(slice(after - 1, after + 1), missed, rejected).eer()

    def at_false_accept(self, rate: float) -> OperatingPoint:
        """The lowest threshold that at most `rate`, in [0, 1], of the non-target trials reach."""
        missed, rejected = self._below()
        accepted = int(np.floor(rate * rejected[-1] * (1 + 1e-12)))
        row = int(np.searchsorted(rejected, rejected[-1] - accepted))
        rates = self._rates(slice(row, row + 1), missed, rejected)
        threshold = float(rates.thresholds[0])
        return OperatingPoint(
            threshold if np.isfinite(threshold) else None,
            float(rates.false_alarm[0]),
            float(rates.miss[0]),
        )

    def _below(self) -> tuple[Ints, Ints]:
        """Target and non-target trials (K + 1,) below each threshold."""
        missed, rejected = (
            np.append(0, np.cumsum(kind)) for kind in (self.targets, self.nontargets)
        )
        return missed, rejected

    def _rates(self, rows: slice, missed: Ints, rejected: Ints) -> ErrorRates:
        miss = missed[rows] / missed[-1]
        thresholds = np.append(self.scores[rows].astype(np.float64), np.inf)
        return ErrorRates(thresholds[: len(miss)], miss, 1.0 - rejected[rows] / rejected[-1])


def error_rates(scores: ArrayLike, labels: ArrayLike) -> ErrorRates:
    """Miss and false-alarm rates of `scores` (N,) under `labels` (N,), 1 for target trials.

    Tied scores are accepted or rejected together. Raises DataError as `check_scores` does.
    """
    return ScoreCounts.of(scores, labels).error_rates()


def eer(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold.

    Between the two thresholds where the curves cross, both rates are taken as straight lines.
    Raises DataError as `error_rates` does.
    """
    return ScoreCounts.of(scores, labels).eer()


def check_false_accept(rate: float) -> None:
    """ConfigError for a rate that is none."""
    if not 0.0 <= rate < 1.0:
        raise ConfigError(
            f"`false_accept`: a rate of false accepts lies in [0, 1), such as 0.001; got {rate:g}"
        )


def check_p_target(p_target: float) -> None:
    """ConfigError unless a prior of target trials lies between 0 and 1."""
    if not 0.0 < p_target < 1.0:
        raise ConfigError(
            f"`p_target` must lie between 0 and 1, such as 0.05 or 0.01; got {p_target}"
        )


def min_dcf(scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05) -> float:
    """Minimum of the normalized detection cost in [0, 1], with unit costs (NIST SRE).

    The cost at a threshold is p_target · miss + (1 - p_target) · false alarm, divided by that of
    the better of accepting all and rejecting all. Raises DataError as `error_rates` does, and
    ConfigError for a `p_target` outside (0, 1).
    """
    return error_rates(scores, labels).min_dcf(p_target)


def actual_dcf(llrs: ArrayLike, labels: ArrayLike, p_target: float = 0.05) -> float:
    """Normalized detection cost of the decisions that likelihood ratios ask for, 0 or more.

    `llrs` (N,) are natural logarithms; Bayes' threshold is log((1 - p_target) / p_target). Without
    calibration this can be far above `min_dcf`. Raises as `min_dcf` does.
    """
    check_p_target(p_target)
    llr, target = check_scores(llrs, labels)
    accepted = llr >= bayes_threshold(p_target)
    miss, false_alarm = 1.0 - accepted[target].mean(), accepted[~target].mean()
    return float(detection_cost(miss, false_alarm, p_target))


def bayes_threshold(p_target: float) -> float:
    """The llr from which accepting costs least, with unit costs: log((1 - p) / p)."""
    return math.log1p(-p_target) - math.log(p_target)


def detection_cost(miss: Any, false_alarm: Any, p_target: float) -> Floats:
    """Normalized detection cost of miss and false-alarm rates, of any shape, with unit costs."""
    cost = p_target * miss + (1.0 - p_target) * false_alarm
    return np.asarray(cost / min(p_target, 1.0 - p_target))


def cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is what saying nothing (0) costs.

    `llrs` (N,) are natural logarithms (Brümmer and du Preez 2006, equation 23). Raises DataError as
    `error_rates` does.
    """
    llr, target = check_scores(llrs, labels)
    of_target = np.logaddexp(0.0, -llr[target]).mean(dtype=np.float64)
    of_nontarget = np.logaddexp(0.0, llr[~target]).mean(dtype=np.float64)
    return float((of_target + of_nontarget) / (2 * np.log(2)))


def threshold_at_false_alarm(scores: ArrayLike, labels: ArrayLike, rate: float) -> float:
    """The lowest score that at most `rate` of the non-target trials reach.

    Infinite when no score is that high, minus infinity when all may be accepted. Raises DataError
    as `error_rates` does, ConfigError for a rate outside [0, 1].
    """
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"a false-alarm rate lies in [0, 1], such as 0.001; got {rate}")
    point = ScoreCounts.of(scores, labels).at_false_accept(rate)
    if point.false_accept == 1.0:
        return -np.inf
    return np.inf if point.threshold is None else point.threshold


def batch_eer(embeddings: Vectors, speakers: Ints) -> float:
    """EER over all pairs of one batch: embeddings (B, E), speakers (B,)."""
    unit = unit_length(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    return eer((unit @ unit.T)[first, second], speakers[first] == speakers[second])[0]
