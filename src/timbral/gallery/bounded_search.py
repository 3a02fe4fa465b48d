"""Exact search in large galleries that reads only a third of the vectors: bounds come first.

One query against a million vectors of 192 numbers is limited by memory: 768 MB. Vectors of voices
vary in few directions, so they are rotated until the first K numbers contain most of their length.
With the length ρ of the rest, Cauchy-Schwarz gives a bound for every product of a vector v and a
query q:

    v · q  ≤  v₁ q₁ + … + v_K q_K + ρ_v ρ_q

which is a product of K + 1 numbers. A few vectors with high bounds are multiplied in full. Vectors
whose bound is below the best of these products cannot be the nearest. The result is the same as
that of a full search (Li, Chan, Yiu and Mamoulis, FEXIPRO: Fast and Exact Inner Product Retrieval
in Recommender Systems, SIGMOD 2017, with more bounds).
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np

from timbral.gallery.exact_search import exact_search
from timbral.gallery.voice_index import best_of
from timbral.io.types import Ints, Vectors

__all__ = ["BoundedSearch", "pays_off"]

LEAST_VECTORS = 50_000
MOST_QUERIES = 2
"""most queries at a time for which bounds pay off; for more, one product of matrices is as fast"""
BLOCK_ROWS = 16_384
SAMPLE_ROWS = 16_384
"""how many of the vectors determine the directions"""
LENGTH_KEPT = 0.8
"""fraction of the mean squared length in the first K numbers: with less, more vectors are
multiplied in full; with more, the bounds take longer"""
KEPT_STEP = 16
GROUP_ROWS = 64
"""vectors per group; the highest bound of each group is compared first"""
FIRST_GROUPS = 64
"""number of groups with the highest bounds, besides `top`, whose best vectors are multiplied in
full"""
MOST_WHOLE = 16
"""if more than one vector in this many must be multiplied in full, all are, in order"""
ROUNDING = 1e-5
"""more than the rounding error of a product of unit vectors of a few hundred float32 numbers"""


@dataclass(frozen=True)
class Directions:
    """An orthonormal basis (E, K) of the directions in which vectors vary most."""

    basis: Vectors
    rows: int
    """number of vectors that it was computed from"""

    @classmethod
    def of(cls, vectors: Vectors) -> Directions:
        """Compute the basis from unit vectors (N, E)."""
        sample = vectors[:: -(-len(vectors) // SAMPLE_ROWS)].astype(np.float64)
        lengths, directions = np.linalg.eigh(sample.T @ sample)  # ascending
        kept = np.cumsum(lengths[::-1]) / max(lengths.sum(), 1e-30)
        count = int(np.searchsorted(kept, LENGTH_KEPT)) + 1
        count = min(-(-(count + 1) // KEPT_STEP) * KEPT_STEP - 1, vectors.shape[1])
        return cls(directions[:, ::-1][:, :count].astype(np.float32), len(vectors))

    def shortened(self, vectors: Vectors) -> Vectors:
        """Vectors (N, E) as (K + 1, N): their first K numbers, and the length of the rest."""
        numbers = vectors @ self.basis
        left = np.linalg.norm(vectors - numbers @ self.basis.T, axis=1)
        return np.ascontiguousarray(np.vstack([numbers.T, left]), np.float32)


def pays_off(num_vectors: int, num_queries: int) -> bool:
    """Whether this number of queries is faster with bounds than with `exact_search`."""
    return num_vectors >= LEAST_VECTORS and num_queries <= MOST_QUERIES


class BoundedSearch:
    """Finds the nearest vectors in a matrix of unit vectors, for one query at a time.

    The caller owns the matrix, and reports new and changed rows. Threads may search at the same
    time while nobody changes it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._directions: Directions | None = None
        self._blocks: list[Vectors] = []
        """(K + 1, BLOCK_ROWS) each, for consecutive rows"""
        self._count = 0
        """number of rows in the blocks"""
        self._changed: set[int] = set()

    def change(self, rows: Ints) -> None:
        """Report that these rows are new or have changed."""
        self._changed.update(rows[rows < self._count].tolist())

    def forget(self, rows: Ints) -> None:
        """Erase what is stored of these rows."""
        for row in rows[rows < self._count].tolist():
            self._blocks[row // BLOCK_ROWS][:, row % BLOCK_ROWS] = 0
            self._changed.add(row)

    def search(self, vectors: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors]:
        """The rows (K,) of (N, E) with the highest products with a unit query (E,), and the
        products.
        """
        with self._lock:
            directions = self._update(vectors)
        short = directions.shortened(query[None])[:, 0]
        bounds = np.concatenate([short @ block for block in self._blocks])[: len(vectors)]
        least = self._lower_limit(bounds, vectors, query, top)
        rows = np.flatnonzero(bounds >= least - ROUNDING)
        if len(rows) > max(len(vectors) // MOST_WHOLE, top):
            every, scores = exact_search(vectors, query[None], top)
            return every[0], scores[0]
        return best_of(rows, vectors, query, top)

    def _lower_limit(self, bounds: Vectors, vectors: Vectors, query: Vectors, top: int) -> float:
        """A lower limit of the `top`-th best product, from some vectors with high bounds."""
        if top >= len(bounds):
            return -np.inf
        whole = len(bounds) // GROUP_ROWS * GROUP_ROWS
        # Groups are of rows far apart, as maxima of columns are fast.
        highest = bounds[:whole].reshape(GROUP_ROWS, -1).max(axis=0, initial=-np.inf)
        highest = np.concatenate((highest, bounds[whole:]))
        count = min(top + FIRST_GROUPS, len(highest))
        first = np.flatnonzero(bounds >= np.partition(highest, -count)[-count])
        if len(first) < top:
            return -np.inf
        if len(first) > count * GROUP_ROWS:  # copies, whose bounds are equal
            first = first[: count * GROUP_ROWS]
        return float(np.partition(vectors[first] @ query, -top)[-top])

    def _update(self, vectors: Vectors) -> Directions:
        """Bring directions and blocks up to date with new and changed rows of (N, E)."""
        if self._directions is None or len(vectors) > 2 * self._directions.rows:
            self._directions = Directions.of(vectors)
            self._blocks, self._count = [], 0
            self._changed.clear()
        self._count = min(self._count, len(vectors))
        changed = np.array([row for row in self._changed if row < self._count], np.int64)
        self._changed.clear()
        for number in np.unique(changed // BLOCK_ROWS).tolist():
            rows = changed[changed // BLOCK_ROWS == number]
            shortened = self._directions.shortened(vectors[rows])
            self._blocks[number][:, rows - number * BLOCK_ROWS] = shortened
        while self._count < len(vectors):
            number, start = divmod(self._count, BLOCK_ROWS)
            rows_left = vectors[self._count : (number + 1) * BLOCK_ROWS]
            shortened = self._directions.shortened(rows_left)
            if number == len(self._blocks):
                self._blocks.append(np.zeros((len(shortened), BLOCK_ROWS), np.float32))
            self._blocks[number][:, start : start + shortened.shape[1]] = shortened
            self._count += shortened.shape[1]
        return self._directions
