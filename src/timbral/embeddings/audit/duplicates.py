"""Files that hold the same recording, perhaps coded anew."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_duplicates"]

LENGTH_TOLERANCE = 0.01
"""by which the lengths of copies may differ; padding of codecs is 50 ms besides"""
PADDING_SECONDS = 0.05
MOST_PAIRS = 200_000
"""pairs of one speaker's utterances that chance closeness is learned from"""
EXPECTED_COPIES = 0.01
"""in a corpus, before anything is seen: chance alone brings its nearest pair to λ = 1"""
BLOCK = 2048

Vectors = NDArray[np.float32]


def check_duplicates(
    vectors: Vectors, seconds: NDArray[np.float64], owned: list[NDArray[np.int64]]
) -> Iterator[tuple[int, int, float, float]]:
    """Pairs of rows of near length, their cosine, and the probability that they are copies.

    How near two different recordings of one speaker come by chance is learned from such pairs:
    the share of them at distance d = 1 - cosine or less is taken as a power of d, through its
    1 % and 5 % quantiles. With the share of pairs of near length it gives the number of
    pairs, λ, that chance alone should bring as near. Copies are taken to be rare: beforehand as
    many are expected as one in a hundred corpora, so that the probability is 1 / (1 + 100 λ).
    """
    distances, near_length = _chance(vectors, seconds, owned)
    if len(distances) < 100:
        return
    low, high = np.quantile(distances, [0.01, 0.05])
    power = math.log(5.0) / max(math.log(high / max(low, 1e-9)), 1e-3)
    pairs = sum(len(rows) * (len(rows) - 1) / 2 for rows in owned)
    found = []
    for first, second, cosine in _near(vectors, seconds, float(low)):
        share = 0.01 * (max(1.0 - cosine, 1e-7) / max(low, 1e-9)) ** power
        expected = pairs * share * near_length
        found.append((first, second, cosine, 1.0 / (1.0 + expected / EXPECTED_COPIES)))
    yield from sorted(found, key=lambda pair: -pair[3])


def _chance(
    vectors: Vectors, seconds: NDArray[np.float64], owned: list[NDArray[np.int64]]
) -> tuple[NDArray[np.float64], float]:
    """Distances of pairs of one speaker's utterances, and the share of pairs of near length."""
    rng = np.random.default_rng(0)
    several = [rows for rows in owned if len(rows) > 1]
    each = max(1, MOST_PAIRS // max(len(several), 1))
    firsts, seconds_of = [], []
    for rows in several:
        one, two = (
            np.triu_indices(len(rows), 1)
            if len(rows) <= 1000
            else rng.integers(0, len(rows), (2, each))
        )
        kept = rng.permutation(len(one))[:each]
        firsts.append(rows[one[kept]])
        seconds_of.append(rows[two[kept]])
    if not firsts:
        return np.empty(0), 0.0
    first, second = np.concatenate(firsts), np.concatenate(seconds_of)
    first, second = first[first != second], second[first != second]
    distances = 1.0 - np.einsum("ne,ne->n", vectors[first], vectors[second]).astype(np.float64)
    gap = np.abs(seconds[first] - seconds[second])
    near = gap <= _tolerance(np.minimum(seconds[first], seconds[second]))
    return np.maximum(distances, 1e-7), max(float(near.mean()), 1.0 / len(near))


def _tolerance(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return PADDING_SECONDS + LENGTH_TOLERANCE * seconds


def _near(
    vectors: Vectors, seconds: NDArray[np.float64], limit: float
) -> Iterator[tuple[int, int, float]]:
    """Pairs of near length at a distance of `limit` or less, of any speakers."""
    order = np.argsort(seconds, kind="stable")
    sorted_seconds = seconds[order]
    ends = np.searchsorted(sorted_seconds, sorted_seconds + _tolerance(sorted_seconds), "right")
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        reach = int(ends[stop - 1])
        cosines = vectors[order[start:stop]] @ vectors[order[start:reach]].T
        for row, column in np.argwhere(cosines >= 1.0 - limit):
            if row < column < ends[start + row] - start:
                first, second = sorted((int(order[start + row]), int(order[start + column])))
                yield first, second, float(min(cosines[row, column], 1.0))
