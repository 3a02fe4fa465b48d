"""Trials in the order of their scores: sorted once, for all figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.errors import DataError
from timbral.io.types import Ints

__all__ = ["RankedTrials", "check_scores", "order_of_scores"]


@dataclass(frozen=True)
class RankedTrials:
    """N trials of both kinds, the lowest score first."""

    order: Ints
    """(N,) original position of each trial"""
    scores: NDArray[Any]
    """(N,) rising; float32 or float64"""
    is_target: NDArray[np.bool_]
    """(N,)"""

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike) -> RankedTrials:
        """Sort trials by `scores` (N,); `labels` (N,). Raises DataError as `check_scores` does."""
        score, target = check_scores(scores, labels)
        order = order_of_scores(score)
        return cls(order, score[order], target[order])

    @cached_property
    def kinds(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Scores of target trials and of non-target trials, rising."""
        return self.scores[self.is_target], self.scores[~self.is_target]


def check_scores(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Scores (N,) in float32 if given so, else float64, and a mask (N,) of target trials.

    Raises DataError if `scores` (N,) and `labels` (N,), 1 for target trials, differ in length, one
    kind of trial is missing, or a score is NaN. Infinite scores are allowed.
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
    return score, target


def order_of_scores(scores: NDArray[Any]) -> Ints:
    """The rows of scores (N,), none of them NaN, from the lowest to the highest.

    A float32 and its row are sorted as one integer, which takes a third of the time: the bits of
    positive floats rise with them, those of negative ones fall.
    """
    if scores.dtype != np.float32 or len(scores) >= 2**32:
        return np.argsort(scores, kind="stable")
    bits = np.ascontiguousarray(scores).view(np.uint32)
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(2**31)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(len(scores), dtype=np.uint64)
    keys.sort()
    keys &= np.uint64(2**32 - 1)
    return keys.view(np.int64)
