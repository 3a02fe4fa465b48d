"""Exact search: products of unit vectors, in blocks."""

from __future__ import annotations

import numpy as np

from timbral.io.types import Ints, Vectors

__all__ = ["exact_search"]

BLOCK_ROWS = 65_536
"""rows of the matrix per block, so that the cosines of a few queries stay in the cache"""


def exact_search(vectors: Vectors, queries: Vectors, top: int) -> tuple[Ints, Vectors]:
    """The rows (Q, K) with the highest products with each query (Q, E), and the products (Q, K).

    Computed in blocks, so that memory does not grow with the number of `vectors` (N, E).
    """
    top = min(top, len(vectors))
    rows = np.zeros((len(queries), 0), np.int64)
    scores = np.zeros((len(queries), 0), np.float32)
    block_rows = max(BLOCK_ROWS // max(len(queries), 1), 1024)
    for start in range(0, len(vectors), block_rows):
        products = queries @ vectors[start : start + block_rows].T
        found = _best(products, top)
        rows = np.concatenate((rows, found + start), axis=1)
        scores = np.concatenate((scores, np.take_along_axis(products, found, 1)), axis=1)
        if rows.shape[1] > 64 * max(top, 1):
            kept = _best(scores, top)
            rows, scores = np.take_along_axis(rows, kept, 1), np.take_along_axis(scores, kept, 1)
    order = np.lexsort((rows, -scores), axis=1)[:, :top]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)


def _best(scores: Vectors, top: int) -> Ints:
    """The columns (Q, K) of the highest scores, in any order."""
    if scores.shape[1] <= top:
        return np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    return np.asarray(np.argpartition(scores, -top, axis=1)[:, -top:], dtype=np.int64)
