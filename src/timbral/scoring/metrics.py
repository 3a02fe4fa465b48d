"""Error rates of speaker verification, from scores. Numpy only.

A trial is a pair of recordings: of one speaker in a target trial, of two in a non-target trial.
A higher score says more alike; a pair is accepted when score >= threshold. A miss is a target
trial that is rejected, a false alarm a non-target trial that is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints, Vectors

__all__ = [
    "ErrorRates",
    "ScoreCounts",
    "actual_dcf",
    "batch_eer",
    "check_p_target",
    "cllr",
    "detection_cost",
    "eer",
    "error_rates",
    "min_dcf",
    "split_scores",
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


def split_scores(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Scores of target trials and of non-target trials, each in rising order.

    Raises DataError unless `scores` (N,) and `labels` (N,), 1 for target trials, are as many, both
    kinds of trial are there, and no score is NaN. Infinite scores are scores.
    """
    score = np.asarray(scores).ravel()
    if score.dtype != np.float32:  # half the memory, and the same order
        score = score.astype(np.float64)
    target = np.asarray(labels).ravel() == 1
    if score.shape != target.shape:
        raise DataError(f"{score.size} scores came with {target.size} labels")
    if np.isnan(score).any():
        raise DataError(f"{np.isnan(score).sum()} of {score.size} scores are NaN")
    targets = int(target.sum())
    if targets in (0, score.size):
        raise DataError(
            f"error rates need target and non-target trials; got {targets} target trials "
            f"and {score.size - targets} non-target trials"
        )
    return np.sort(score[target]), np.sort(score[~target])


@dataclass(frozen=True)
class ScoreCounts:
    """Distinct scores (K,), the lowest first, and how many trials of both kinds have each (K,)."""

    scores: Floats
    targets: Ints
    nontargets: Ints

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
        """Count `scores` (N,) under `labels` (N,); DataError as `split_scores` raises it."""
        targets, nontargets = split_scores(scores, labels)
        distinct = np.unique(np.concatenate((targets, nontargets)))
        up_to = (np.searchsorted(kind, distinct, side="right") for kind in (targets, nontargets))
        in_each = [np.diff(count, prepend=0) for count in up_to]
        return cls(distinct.astype(np.float64), in_each[0], in_each[1])

    def error_rates(self) -> ErrorRates:
        """Rates at each score as threshold, and at one above all, which rejects everything."""
        missed, rejected = (
            np.append(0, np.cumsum(kind)) for kind in (self.targets, self.nontargets)
        )
        return ErrorRates(
            thresholds=np.append(self.scores, np.inf),
            miss=missed / missed[-1],
            false_alarm=1.0 - rejected / rejected[-1],
        )


def error_rates(scores: ArrayLike, labels: ArrayLike) -> ErrorRates:
    """Miss and false-alarm rates of `scores` (N,) under `labels` (N,), 1 for target trials.

    Tied scores are accepted or rejected together. Raises DataError as `split_scores` does.
    """
    return ScoreCounts.of(scores, labels).error_rates()


def eer(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold.

    Between the two thresholds where the curves cross, both rates are taken as straight lines.
    Raises DataError as `error_rates` does.
    """
    return error_rates(scores, labels).eer()


def check_p_target(p_target: float) -> None:
    """ConfigError unless a prior of target trials lies between 0 and 1."""
    if not 0.0 < p_target < 1.0:
        raise ConfigError(
            f"p_target must lie between 0 and 1, such as 0.05 or 0.01; got {p_target}"
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
    targets, nontargets = split_scores(llrs, labels)
    threshold = np.log(1.0 - p_target) - np.log(p_target)
    miss = np.searchsorted(targets, threshold) / targets.size
    false_alarm = 1.0 - np.searchsorted(nontargets, threshold) / nontargets.size
    return float(detection_cost(miss, false_alarm, p_target))


def detection_cost(miss: Any, false_alarm: Any, p_target: float) -> Floats:
    """Normalized detection cost of miss and false-alarm rates, of any shape, with unit costs."""
    cost = p_target * miss + (1.0 - p_target) * false_alarm
    return np.asarray(cost / min(p_target, 1.0 - p_target))


def cllr(llrs: ArrayLike, labels: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is what saying nothing (0) costs.

    `llrs` (N,) are natural logarithms (Brümmer and du Preez 2006, equation 23). Raises DataError as
    `error_rates` does.
    """
    targets, nontargets = split_scores(llrs, labels)
    of_target = np.logaddexp(0.0, -targets).mean()
    of_nontarget = np.logaddexp(0.0, nontargets).mean()
    return float((of_target + of_nontarget) / (2 * np.log(2)))


def threshold_at_false_alarm(scores: ArrayLike, labels: ArrayLike, rate: float) -> float:
    """The lowest score that at most `rate` of the non-target trials reach.

    Infinite when no score is that high, minus infinity when all may be accepted. Raises DataError
    as `error_rates` does, ConfigError for a rate outside [0, 1].
    """
    if not 0.0 <= rate <= 1.0:
        raise ConfigError(f"a false-alarm rate lies in [0, 1], such as 0.001; got {rate}")
    targets, nontargets = split_scores(scores, labels)
    accepted = int(np.floor(rate * nontargets.size * (1 + 1e-12)))
    if accepted >= nontargets.size:
        return -np.inf
    refused = nontargets[nontargets.size - 1 - accepted]
    above = [each[np.searchsorted(each, refused, side="right") :] for each in (targets, nontargets)]
    return float(min((each[0] for each in above if each.size), default=np.inf))


def batch_eer(embeddings: Vectors, speakers: Ints) -> float:
    """EER over all pairs of one batch: embeddings (B, E), speakers (B,)."""
    unit = unit_length(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    return eer((unit @ unit.T)[first, second], speakers[first] == speakers[second])[0]
