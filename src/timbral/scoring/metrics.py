"""Error rates of speaker verification, from scores. Numpy only.

A trial is a pair of recordings; a target trial has one voice, a non-target trial two. A score
says how alike the pair is: higher is more alike. Accept when score >= threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError

__all__ = ["ErrorRates", "batch_eer", "eer", "error_rates", "min_dcf"]

Floats = NDArray[np.float64]


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
    cut = np.r_[first, score.size]
    return ErrorRates(
        thresholds=np.r_[score[first], np.inf],
        miss=missed[cut] / targets,
        false_alarm=1.0 - rejected[cut] / (score.size - targets),
    )


def eer(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equal error rate in [0, 1] and its threshold.

    Between the two thresholds where the curves cross, both rates are taken as straight lines.
    """
    rates = error_rates(scores, labels)
    difference = rates.miss - rates.false_alarm  # rises from -1 to 1
    after = int(np.argmax(difference >= 0))
    before = after - 1
    share = -difference[before] / (difference[after] - difference[before])
    rate = rates.miss[before] + share * (rates.miss[after] - rates.miss[before])
    threshold = rates.thresholds[after]
    return float(rate), float(threshold if np.isfinite(threshold) else rates.thresholds[before])


def min_dcf(scores: ArrayLike, labels: ArrayLike, p_target: float = 0.05) -> float:
    """Least normalized detection cost with unit costs (NIST SRE): in [0, 1]."""
    rates = error_rates(scores, labels)
    cost = p_target * rates.miss + (1.0 - p_target) * rates.false_alarm
    return float(cost.min() / min(p_target, 1.0 - p_target))


def batch_eer(embeddings: NDArray[np.float32], speakers: NDArray[np.int64]) -> float:
    """EER over all pairs of one batch: embeddings (B, E), speakers (B,)."""
    unit = unit_length(embeddings)
    first, second = np.triu_indices(len(unit), k=1)
    return eer((unit @ unit.T)[first, second], speakers[first] == speakers[second])[0]
