"""Find the voices nearest to many vectors in one product, before they are needed one by one.

A guard asks for the voices nearest to one recording, then another, then a voice. Each query alone
must read all vectors of the gallery from memory; hundreds together read them once. Voices enrolled
between the product and a query are compared at the time of the query.
"""

from __future__ import annotations

import numpy as np

from timbral.gallery.exact_search import exact_search
from timbral.gallery.voice_index import best_of
from timbral.io.types import Ints, Vectors

__all__ = ["PrefetchedSearch"]

QUERIES = 128
"""queries per product, so that their cosines with a block of voices take 34 MB"""
SPARE = 16
"""extra voices to find, because some of them change"""


class PrefetchedSearch:
    """Answers like a search among all voices, for vectors that were given beforehand."""

    def __init__(self, voices: Vectors, queries: Vectors, top: int) -> None:
        """Search unit `queries` (Q, E) among `voices` (N, E); up to `top` can be asked for."""
        self._count, self._top = len(voices), top + SPARE
        self._changed: set[int] = set()
        self._found: dict[bytes, tuple[Ints, Vectors]] = {}
        for start in range(0, len(queries), QUERIES):
            some = queries[start : start + QUERIES]
            rows, scores = exact_search(voices, some, self._top)
            for query, best, cosines in zip(some, rows, scores, strict=True):
                self._found[query.tobytes()] = best, cosines

    def change(self, rows: Ints) -> None:
        """Report that the voices in these rows are new or have changed."""
        self._changed.update(rows.tolist())

    def search(self, voices: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors] | None:
        """The rows of the current `voices` that are nearest to a query, and their cosines.

        None for a vector that was not given beforehand, or if too much has changed.
        """
        found = self._found.get(query.tobytes())
        if found is None:
            return None
        rows, cosines = found
        kept = np.array([row not in self._changed for row in rows.tolist()], bool)
        if kept.sum() < min(top, self._count):
            return None
        changed = np.array(sorted(self._changed), np.int64)
        others, scores = best_of(changed, voices, query, top)
        every, values = np.append(rows[kept], others), np.append(cosines[kept], scores)
        order = np.lexsort((every, -values))[:top]
        return every[order], values[order]
