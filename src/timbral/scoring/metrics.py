"""Error rates of speaker verification, from scores. Numpy only.

A trial is a pair of recordings: of one speaker in a target trial, of two in a non-target trial. A
higher score means more similar voices; a pair is accepted when score >= threshold. A miss is a
target trial that is rejected, a false alarm a non-target trial that is accepted.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.calibration.log_odds import log_odds
from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.ranked_trials import check_scores

__all__ = [
    "ErrorRates",
    "SortedScores",
    "ThresholdRates",
    "actual_dcf",
    "batch_eer",
    "bayes_threshold",
    "check_false_accept",
    "check_p_target",
    "cllr",
    "detection_cost",
    "eer",
    "error_rates",
    "llr_costs",
    "min_dcf",
]


BLOCK = 2**15
"""llrs per block, which fits in the processor's cache"""


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
class ThresholdRates:
    """Error rates at a threshold; scores at or above it are accepted."""

    threshold: float | None
    """None: no score is accepted"""
    false_accept: float
    """rate among the non-target trials"""
    false_reject: float
    """rate among the target trials"""


@dataclass(frozen=True)
class SortedScores:
    """Scores of target trials (T,) and of non-target trials (U,), each in rising order."""

    targets: NDArray[Any]
    nontargets: NDArray[Any]

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> SortedScores:
        """Sort `scores` (N,) by `labels` (N,); raises DataError as `check_scores` does."""
        score, target = check_scores(scores, labels)
        return cls(np.sort(score[target]), np.sort(score[~target]))

    def error_rates(self) -> ErrorRates:
        """Rates at each score as threshold, and at one above all, which rejects every trial."""
        thresholds = np.unique(np.concatenate((self.targets, self.nontargets)))
        miss, rejected = (
            np.append(np.searchsorted(kind, thresholds) / len(kind), 1.0)
            for kind in (self.targets, self.nontargets)
        )
        return ErrorRates(np.append(thresholds.astype(np.float64), np.inf), miss, 1.0 - rejected)

    def eer(self) -> tuple[float, float]:
        """Equal error rate in [0, 1] and its threshold; see the function `eer`.

        As `error_rates().eer()`, but by bisection instead of rates at all thresholds.
        """

        def difference(score: Any) -> float:
            miss, false_alarm = self.rates(score)
            return miss - false_alarm

        crossing = [
            kind[row]
            for kind in (self.targets, self.nontargets)
            if (row := bisect_left(kind, 0.0, key=difference)) < len(kind)
        ]
        after = min(crossing) if crossing else None
        before = max(
            kind[row - 1]
            for kind in (self.targets, self.nontargets)
            if (row := len(kind) if after is None else int(np.searchsorted(kind, after)))
        )
        rates = zip(self.rates(before), self.rates(after), strict=True)
        thresholds = np.array([before, np.inf if after is None else after], dtype=np.float64)
        return ErrorRates(thresholds, *(np.array(both) for both in rates)).eer()

    def at_false_accept(self, rate: float) -> ThresholdRates:
        """The lowest threshold that at most a fraction `rate` of the non-target trials reaches."""
        accepted = int(np.floor(rate * len(self.nontargets) * (1 + 1e-12)))
        rejected = len(self.nontargets) - accepted
        threshold = (
            self._next_above(self.nontargets[rejected - 1])
            if rejected
            else min(self.targets[0], self.nontargets[0])
        )
        miss, false_accept = self.rates(threshold)
        known = threshold is not None and np.isfinite(threshold)
        return ThresholdRates(float(threshold) if known else None, false_accept, miss)

    def rates(self, threshold: Any) -> tuple[float, float]:
        """Miss and false-alarm rate at a threshold; None: above all scores."""
        if threshold is None:
            return 1.0, 0.0
        missed, rejected = (
            int(np.searchsorted(kind, kind.dtype.type(threshold)))
            for kind in (self.targets, self.nontargets)
        )
        return missed / len(self.targets), 1.0 - rejected / len(self.nontargets)

    def _next_above(self, score: Any) -> Any:
        """The lowest score above `score`; None if there is none."""
        above = [
            kind[row]
            for kind in (self.targets, self.nontargets)
            if (row := int(np.searchsorted(kind, score, side="right"))) < len(kind)
        ]
        return min(above) if above else None


def error_rates(scores: ArrayLike, labels: ArrayLike) -> ErrorRates:
    """Miss and false-alarm rates of `scores` (N,) under `labels` (N,), 1 for target trials.

    Tied scores are accepted or rejected together. Raises DataError as `check_scores` does.
    """
    return SortedScores.of(scores, labels).error_rates()


def eer(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold.

    Between the two thresholds where the rates cross, both are interpolated linearly. Raises
    DataError as `error_rates` does.
    """
    return SortedScores.of(scores, labels).eer()


def check_false_accept(rate: float) -> None:
    """Raise ConfigError unless a rate of false accepts is in [0, 1)."""
    if not 0.0 <= rate < 1.0:
        raise ConfigError(
            f"`false_accept` must be a rate from 0 to below 1, such as 0.001; got {rate:g}"
        )


def check_p_target(p_target: float) -> None:
    """Raise ConfigError unless a prior of target trials is in (0, 1)."""
    if not 0.0 < p_target < 1.0:
        raise ConfigError(
            f"`p_target` must be between 0 and 1, such as 0.05 or 0.01; got {p_target}"
        )


def min_dcf(scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05) -> float:
    """Minimum of the normalized detection cost in [0, 1], with unit costs (NIST SRE).

    The cost at a threshold is p_target · miss + (1 - p_target) · false alarm, divided by that of
    the better of accepting all and rejecting all. Raises DataError as `error_rates` does, and
    ConfigError for a `p_target` outside (0, 1).
    """
    return error_rates(scores, labels).min_dcf(p_target)


def actual_dcf(llrs: ArrayLike, labels: ArrayLike, p_target: float = 0.05) -> float:
    """Normalized detection cost of decisions at Bayes' threshold, 0 or more.

    `llrs` (N,) are natural logarithms; Bayes' threshold is log((1 - p_target) / p_target). Without
    calibration this can be far above `min_dcf`. Raises as `min_dcf` does.
    """
    check_p_target(p_target)
    llr, target = check_scores(llrs, labels)
    accepted = llr >= bayes_threshold(p_target)
    miss, false_alarm = 1.0 - accepted[target].mean(), accepted[~target].mean()
    return float(detection_cost(miss, false_alarm, p_target))


def bayes_threshold(p_target: float) -> float:
    """The llr from which on accepting costs less, with unit costs: log((1 - p) / p)."""
    return -log_odds(p_target)


def detection_cost(miss: Any, false_alarm: Any, p_target: float) -> Floats:
    """Normalized detection cost of miss and false-alarm rates, of any shape, with unit costs."""
    cost = p_target * miss + (1.0 - p_target) * false_alarm
    return np.asarray(cost / min(p_target, 1.0 - p_target))


def cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is the cost of an llr of 0 for all.

    `llrs` (N,) are natural logarithms (Brümmer and du Preez 2006, equation 23). Raises DataError as
    `error_rates` does.
    """
    llr, target = check_scores(llrs, labels)
    of_target, of_nontarget = llr_costs(llr[target], llr[~target])
    return float(of_target.mean() + of_nontarget.mean()) / 2


def llr_costs(targets: NDArray[Any], nontargets: NDArray[Any]) -> tuple[Floats, Floats]:
    """Cost of each llr in bits, for target trials (T,) and non-target trials (U,).

    log2(1 + 1 / ratio) and log2(1 + ratio); Cllr is the mean of the two means.
    """
    return _bits(targets, -1.0), _bits(nontargets, 1.0)


def _bits(llrs: NDArray[Any], sign: float) -> Floats:
    """log2(1 + e^(sign · llr)) (N,): like np.logaddexp, in two thirds of its time."""
    bits = np.empty(len(llrs))
    for start in range(0, len(llrs), BLOCK):
        rows = slice(start, start + BLOCK)
        signed = sign * llrs[rows].astype(np.float64)
        bits[rows] = np.maximum(signed, 0.0) + np.log1p(np.exp(-np.abs(signed)))
    bits /= np.log(2)
    return bits


def batch_eer(embeddings: Vectors, speakers: Ints) -> float:
    """EER over all pairs of one batch: embeddings (B, E), speakers (B,)."""
    unit = unit_length(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    return eer((unit @ unit.T)[first, second], speakers[first] == speakers[second])[0]
