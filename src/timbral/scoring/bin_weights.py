"""Weights of trials in draws of speakers, summed over bins of scores.

Counts of speakers are small, so their products nearly always fit in bytes, which are summed eight
at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.io.types import Floats, Ints

__all__ = ["bin_weights", "smallest_integers"]

WORD = 8
"""bytes of an integer with which weights of one byte are summed"""
EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)
"""mask of every second byte, which leaves 16 bits for each sum"""
BLOCK_WEIGHTS = 2**18
"""weights (trials · draws) per block, which stays in the processor's cache"""


def smallest_integers(counts: Ints) -> NDArray[Any]:
    """Counts (S, draws) as the smallest integers that fit a product of two: nearly always bytes."""
    most = int(counts.max()) ** 2
    kind = next(kind for kind in (np.uint8, np.uint32, np.int64) if most <= np.iinfo(kind).max)
    return counts.astype(kind)


def bin_weights(times: NDArray[Any], first: Ints, second: Ints | None, starts: Ints) -> Floats:
    """Weight of the trials in each bin (draws, bins).

    `times` (S, draws): how often each speaker is drawn. Trials are in the order of their bins;
    those of bin b begin at `starts[b]`. `second` is None for target trials, which have one speaker.
    A bin without trials has the weight 0.
    """
    draws = times.shape[1]
    times = np.pad(times, ((0, 0), (0, -draws % WORD)))
    weights = np.zeros((len(starts), times.shape[1]), dtype=np.int64)
    filled = np.flatnonzero(np.diff(starts, append=len(first)))
    begins = starts[filled]
    block = _rows_at_once(times)
    left, right = np.empty((2, block, times.shape[1]), dtype=times.dtype)
    for row in range(0, len(first), block):
        rows = slice(row, min(row + block, len(first)))
        weight = times.take(first[rows], 0, out=left[: rows.stop - row], mode="clip")
        if second is not None:
            weight *= times.take(second[rows], 0, out=right[: rows.stop - row], mode="clip")
        low = int(np.searchsorted(begins, row, side="right")) - 1
        high = int(np.searchsorted(begins, rows.stop))
        within = np.maximum(begins[low:high] - row, 0)
        weights[filled[low:high]] += _column_sums(weight, within)
    return np.asarray(weights.T[:draws], dtype=np.float64)


def _rows_at_once(times: NDArray[Any]) -> int:
    """Number of rows whose products of two counts can be summed without exceeding 16 bits."""
    rows: int = max(1, BLOCK_WEIGHTS // times.shape[1])
    if times.dtype != np.uint8:
        return rows
    return min(rows, int((2**16 - 1) // max(1, int(times.max()) ** 2)))


def _column_sums(weights: NDArray[Any], starts: Ints) -> Ints:
    """Sums of rows (N, draws) from each start up to the next (K, draws); overwrites the rows.

    Eight bytes are summed as one integer of four numbers of 16 bits, first those in even columns,
    then the odd ones: numpy's own sums of bytes take several times as long.
    """
    if weights.dtype != np.uint8:
        return np.add.reduceat(weights, starts, axis=0, dtype=np.int64)
    words = weights.view("<u8")
    odd = words >> np.uint64(8)
    sums = np.empty((len(starts), words.shape[1], WORD // 2, 2), dtype=np.int64)
    for parity, half in enumerate((words, odd)):
        half &= EVEN_BYTES
        of_half = np.add.reduceat(half, starts, axis=0)
        sums[..., parity] = of_half.view("<u2").reshape(*of_half.shape, WORD // 2)
    return sums.reshape(len(starts), -1)
