"""Scores of millions of trials from vectors, in blocks."""

from __future__ import annotations

import numpy as np
import torch

from timbral.embeddings.vectors import unit_length
from timbral.io.types import Ints, Vectors

__all__ = ["pair_cosines", "score_normalized"]

BLOCK = 4096
"""trials whose vectors are gathered at one time: they stay in the processor's cache"""
ROWS = 2**20


def pair_cosines(vectors: Vectors, first: Ints, second: Ints) -> Vectors:
    """Cosine of each pair of rows of `vectors` (K, E): `first`, `second` (N,) -> (N,)."""
    unit = torch.from_numpy(unit_length(vectors))
    left, right = (torch.from_numpy(np.asarray(rows, dtype=np.int64)) for rows in (first, second))
    cosines = torch.empty(len(left))
    for start in range(0, len(left), BLOCK):
        rows = slice(start, start + BLOCK)
        products = unit.index_select(0, left[rows])
        products *= unit.index_select(0, right[rows])
        torch.sum(products, dim=1, out=cosines[rows])
    return np.asarray(cosines.numpy())


def score_normalized(cosines: Vectors, first: Ints, second: Ints, statistics: Vectors) -> Vectors:
    """Adaptive s-norm of cosines (N,); `statistics` (K, 2) as `cohort_statistics` gives them."""
    normalized = np.empty_like(cosines)
    for start in range(0, len(cosines), ROWS):
        rows = slice(start, start + ROWS)
        sides = (statistics[first[rows]], statistics[second[rows]])
        z = [(cosines[rows] - side[:, 0]) / side[:, 1] for side in sides]
        normalized[rows] = (z[0] + z[1]) / 2
    return normalized
