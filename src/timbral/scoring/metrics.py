"""Error rates of speaker verification, from scores. Numpy only.

A trial is a pair of recordings: of one speaker in a target trial, of two in a non-target trial.
A higher score says more alike; a pair is accepted when score >= threshold. A miss is a target
trial that is rejected, a false alarm a non-target trial that is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["ErrorRates", "batch_eer", "check_p_target", "eer", "error_rates", "min_dcf"]


@dataclass(frozen=True)
class ErrorRates:
    """Miss and false-alarm rates at every threshold, the lowest threshold first.

    `thresholds` (K,); `miss` (K,) rises from 0 to 1, `false_alarm` (K,) falls from 1 to 0.
    """

    thresholds: Floats
    miss: Floats
    false_alarm: Floats


def error_rates(scores: ArrayLike, labels: ArrayLike) -> ErrorRates:
    """Miss and false-alarm rates of `scores` (N,) under `labels` (N,), 1 for target trials.

    Tied scores are accepted or rejected together. Raises DataError unless both kinds of trial
    are there and every score is finite.
    """
    score = np.asarray(scores, dtype=np.float64).ravel()
    target = np.asarray(labels).ravel().astype(bool)
    if score.shape != target.shape:
        raise DataError(f"{score.size} scores came with {target.size} labels")
    if not np.isfinite(score).all():
        raise DataError("a score is NaN or infinite")
    targets = int(target.sum())
    if targets in (0, score.size):
        raise DataError(
            f"error rates need target and non-target trials; got {targets} target trials "
            f"and {score.size - targets} non-target trials"
        )
    order = np.argsort(score, kind="stable")
    score, target = score[order], target[order]
    # Threshold k rejects everything below the k-th distinct score; the last one rejects all.
    first = np.flatnonzero(np.r_[True, score[1:] > score[:-1]])
    missed = np.r_[0, np.cumsum(target)]
    rejected = np.r_[0, np.cumsum(~target)]
    ends = np.r_[first, score.size]
    return ErrorRates(
        thresholds=np.r_[score[first], np.inf],
        miss=missed[ends] / targets,
        false_alarm=1.0 - rejected[ends] / (score.size - targets),
    )


def eer(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold.

    Between the two thresholds where the curves cross, both rates are taken as straight lines.
    Raises DataError as `error_rates` does.
    """
    rates = error_rates(scores, labels)
    difference = rates.miss - rates.false_alarm  # rises from -1 to 1
    after = int(np.argmax(difference >= 0))
    before = after - 1
    fraction = -difference[before] / (difference[after] - difference[before])
    rate = rates.miss[before] + fraction * (rates.miss[after] - rates.miss[before])
    threshold = rates.thresholds[after]
    return float(rate), float(threshold if np.isfinite(threshold) else rates.thresholds[before])


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
    check_p_target(p_target)
    rates = error_rates(scores, labels)
    cost = p_target * rates.miss + (1.0 - p_target) * rates.false_alarm
    return float(cost.min() / min(p_target, 1.0 - p_target))


def batch_eer(embeddings: Vectors, speakers: Ints) -> float:
    """EER over all pairs of one batch: embeddings (B, E), speakers (B,)."""
    unit = unit_length(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    return eer((unit @ unit.T)[first, second], speakers[first] == speakers[second])[0]
