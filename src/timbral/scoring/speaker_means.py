"""Exact means over trials in draws of speakers, for costs that do not need sorted scores.

With speaker a drawn m times and speaker b n times, a non-target trial between them has the weight
m n, and a target trial of a the weight m (see `timbral.scoring.intervals`). So the sum of a cost
over all trials is bilinear in these counts: costs are summed once for each pair of speakers.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from timbral.io.types import Floats, Ints
from timbral.scoring.intervals import draw_speakers

__all__ = ["Costs", "SpeakerMeans"]

Costs: TypeAlias = Floats | NDArray[np.bool_]

MOST_PAIRS = 2**24
"""pairs of speakers whose costs are summed once; with more pairs, each draw sums over trials"""
BLOCK = 2**9
"""trials per block in that case: their weights in 1,000 draws stay in the processor's cache"""


class SpeakerMeans:
    """Means of costs over the trials of one kind, in draws of speakers with replacement.

    Args:
        first, second: (N,) speaker numbers of both sides of all trials, from 0
        is_target: (N,)
        draws: number of draws, each of as many speakers as there are
        seed: of the draws, which are the same as those of `SpeakerBootstrap`
    """

    def __init__(
        self,
        first: Ints,
        second: Ints,
        is_target: NDArray[np.bool_],
        *,
        draws: int,
        seed: int = 0,
    ) -> None:
        self._counts = draw_speakers(first, second, draws, seed).astype(np.float64)  # (draws, S)
        self._is_target = is_target
        self._targets = first[is_target]
        self._sides = first[~is_target], second[~is_target]
        speakers = self._counts.shape[1]
        self._pairs: Ints | None = None
        if speakers**2 <= MOST_PAIRS:
            self._pairs = self._sides[0] * np.int64(speakers) + self._sides[1]
        self._weights = self._target_sums(None), self._nontarget_sums(None)

    def split(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Split values of all trials (N,) into those of target (T,) and non-target trials (U,)."""
        return values[self._is_target], values[~self._is_target]

    def of_targets(self, costs: Costs) -> Floats:
        """Mean over target trials of `costs` (T,) in each draw (draws,); NaN where it has none."""
        return self._divided(self._target_sums(costs), self._weights[0])

    def of_nontargets(self, costs: Costs) -> Floats:
        """Mean over non-target trials of `costs` (U,), likewise."""
        return self._divided(self._nontarget_sums(costs), self._weights[1])

    @staticmethod
    def _divided(sums: Floats, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(weights > 0, sums / weights, np.nan))

    def _target_sums(self, costs: Costs | None) -> Floats:
        """Weighted sum of `costs` (T,) in each draw (draws,); None: of ones."""
        return np.asarray(self._counts @ _summed(self._targets, costs, self._counts.shape[1]))

    def _nontarget_sums(self, costs: Costs | None) -> Floats:
        speakers = self._counts.shape[1]
        if self._pairs is not None:
            of_pairs = _summed(self._pairs, costs, speakers**2).reshape(speakers, speakers)
            return np.asarray(((self._counts @ of_pairs) * self._counts).sum(axis=1))
        left, right = self._sides
        kept = np.ones(len(left), dtype=bool) if costs is None else costs
        times = np.ascontiguousarray(self._counts.T, dtype=np.float32)  # (S, draws)
        sums = np.zeros(times.shape[1])
        for start in range(0, len(kept), BLOCK):
            rows = slice(start, start + BLOCK)
            weights = times[left[rows]] * times[right[rows]]
            sums += kept[rows].astype(np.float32) @ weights
        return sums


def _summed(indices: Ints, costs: Costs | None, count: int) -> Floats:
    """The sum of the costs at each index (count,); booleans are counted, in half the time."""
    if costs is not None and costs.dtype == np.bool_:
        indices, costs = indices[costs], None
    return np.bincount(indices, costs, minlength=count).astype(np.float64)
