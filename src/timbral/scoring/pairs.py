"""Scores of millions of trials from vectors, in blocks."""

from __future__ import annotations

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.io.types import Ints, Vectors

__all__ = ["pair_cosines", "score_normalized"]

BLOCK = 256
"""pairs whose vectors are gathered at one time: they stay in the processor's cache"""
GROUP = 2048
"""vectors that lie side by side: pairs between two groups are scored together, from the cache"""
MOST_GROUPS = 255
"""whose pairs are numbered by 16 bits"""
MANY = 2**24
"""pairs that are ordered at one time"""
ROWS = 2**20


def pair_cosines(vectors: Vectors, first: Ints, second: Ints) -> Vectors:
    """Cosine of each pair of rows of `vectors` (K, E): `first`, `second` (N,) -> (N,)."""
    unit = unit_length(vectors)
    cosines = np.empty(len(first), dtype=np.float32)
    both = np.empty((2, BLOCK, unit.shape[1]), dtype=np.float32)
    for start in range(0, len(first), MANY):
        rows = slice(start, start + MANY)
        order = _by_groups(first[rows], second[rows], len(vectors))
        left, right = first[rows][order], second[rows][order]
        sorted_cosines = np.empty(len(order), dtype=np.float32)
        for begin in range(0, len(order), BLOCK):
            block = slice(begin, begin + BLOCK)
            count = len(left[block])
            for side, gathered in zip((left, right), both, strict=True):  # "clip" has no buffer
                unit.take(side[block], axis=0, out=gathered[:count], mode="clip")
            np.einsum("ne,ne->n", *both[:, :count], out=sorted_cosines[block])
        cosines[rows][order] = sorted_cosines
    return cosines


def _by_groups(first: Ints, second: Ints, count: int) -> Ints:
    """The order in which pairs (N,) of the same two groups of `count` vectors follow each other."""
    size = max(GROUP, -(-count // MOST_GROUPS))
    groups = -(-count // size)
    keys = (first // size * groups + second // size).astype(np.uint16)  # radix-sorted
    return np.argsort(keys, kind="stable")


def score_normalized(cosines: Vectors, first: Ints, second: Ints, statistics: Vectors) -> Vectors:
    """Adaptive s-norm of cosines (N,); `statistics` (K, 2) as `cohort_statistics` gives them."""
    normalized = np.empty_like(cosines)
    for start in range(0, len(cosines), ROWS):
        rows = slice(start, start + ROWS)
        sides = (statistics[first[rows]], statistics[second[rows]])
        z = [(cosines[rows] - side[:, 0]) / side[:, 1] for side in sides]
        normalized[rows] = (z[0] + z[1]) / 2
    return normalized
