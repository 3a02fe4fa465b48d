"""Remarks on trials that a list should not have: with themselves, repeated, contradictory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.io.types import Ints
from timbral.scoring.trial_list import TrialList

__all__ = ["pair_keys", "remarks_on_pairs", "remarks_on_self_comparisons"]


def remarks_on_self_comparisons(listed: TrialList) -> list[str]:
    """A remark if trials of N single recordings compare a recording with itself."""
    count = int((listed.first == listed.second).sum())
    if not count:
        return []
    trials, them = (
        ("1 trial compares", "it") if count == 1 else (f"{count:,} trials compare", "them")
    )
    return [f"{trials} a recording with itself, which says nothing about speakers: remove {them}"]


def remarks_on_pairs(listed: TrialList) -> list[str]:
    """Remarks on pairs that are in several trials, in any order: with both labels, or one."""
    keys = pair_keys(listed.first, listed.second, len(listed.names))
    codes = 2 * keys + (listed.labels == 1)
    codes.sort()
    repeats = codes[1:] == codes[:-1]
    contrary = ~repeats & (codes[1:] >> 1 == codes[:-1] >> 1)
    remarks = []
    if contrary.any():
        pairs = "1 pair is" if contrary.sum() == 1 else f"{contrary.sum():,} pairs are"
        pair = _pair(int(codes[:-1][contrary][0]) // 2, listed)
        remarks.append(
            f"{pairs} both a target and a non-target trial, the first {pair}: correct the list"
        )
    if repeats.any():
        trials, them = (
            ("1 trial is in the list twice and counts", "it")
            if repeats.sum() == 1
            else (f"{repeats.sum():,} trials repeat others and count", "them")
        )
        pair = _pair(int(codes[:-1][repeats][0]) // 2, listed)
        remarks.append(f"{trials} again, the first {pair}: remove {them}")
    return remarks


def pair_keys(
    first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]], names: int
) -> Ints:
    """A number for each pair (N,) of positions below `names` that ignores the pair's order."""
    one, other = (side.astype(np.int64) for side in (first, second))
    return np.asarray(np.minimum(one, other) * names + np.maximum(one, other))


def _pair(key: int, listed: TrialList) -> str:
    one, other = (listed.names[place].as_py() for place in divmod(key, len(listed.names)))
    return f"{one!r} with {other!r}"
