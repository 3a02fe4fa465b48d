"""An approximate index of voices (usearch's HNSW graph), for galleries in which exact is too slow.

A graph does not find what it has no links to: vectors that are there many times take the links
of their neighbors (findings/usearch_copies_hide_voices.sh). So voices that are equal to 8 bits have
one entry together, entries come in random order, and an index looks up made-up new recordings of
its own voices before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError, MissingExtraError
from timbral.gallery.exact_search import exact_search
from timbral.io.types import Ints, Progress, Vectors

__all__ = ["VoiceIndex", "best_of"]

LEAST_RECALL = 0.99
"""of its own voices' new recordings, of which an index has to find the nearest voice"""
CHECKED_VOICES = 500
CHECKED_NOISE = 0.6
"""length of what is added to a voice's unit vector: a cosine of about 0.85"""
CHECKED_ENTRIES = 16
EXPANSIONS = (64, 128, 256, 512, 1024)
"""how far a search looks around, the first that finds enough"""
BLOCK_VOICES = 10_000
CODE_SCALE = 127.0


class VoiceIndex:
    """Finds which voices may be nearest; their cosines are computed from their own vectors."""

    def __init__(self, embedding_dim: int, expansion_add: int = 64) -> None:
        try:
            from usearch.index import Index
        except ImportError:
            raise MissingExtraError("an index of voices", "gallery") from None
        self._index: Any = Index(
            ndim=embedding_dim, metric="cos", dtype="i8", expansion_add=expansion_add
        )
        self._entries: dict[bytes, int] = {}
        """by the codes of a vector the entry that stands for it"""
        self._entry_of: dict[int, int] = {}
        """by a voice's number; a voice that has changed has another entry then"""
        self._voices: dict[int, set[int]] = {}
        """by entry the voices whose vector it is"""
        self.recall = 1.0
        """fraction of its own voices' made-up new recordings that it found when it was checked"""

    def __len__(self) -> int:
        return len(self._entry_of)

    def add(self, ids: Sequence[int], vectors: Vectors, progress: Progress | None = None) -> None:
        """Take up voices, new ones and ones that have changed, in random order."""
        order = np.random.default_rng(0).permutation(len(ids))
        for start in range(0, len(order), BLOCK_VOICES):
            rows = order[start : start + BLOCK_VOICES]
            new = [row for row in rows if self._assign(ids[row], vectors[row])]
            keys = np.array([self._entry_of[ids[row]] for row in new], np.uint64)
            if new:
                self._index.add(keys, vectors[new], threads=1)
            if progress is not None:
                progress(min(start + BLOCK_VOICES, len(order)), len(order))

    def remove(self, ids: Iterable[int]) -> None:
        """Voices are no longer found; the graph keeps their entries until it is built again."""
        for id in ids:
            entry = self._entry_of.pop(id, None)
            if entry is not None:
                self._voices[entry].discard(id)

    def search(self, query: Vectors, count: int) -> list[int]:
        """Numbers of voices (`count` or more, where there are as many) that may be nearest."""
        keys = self._index.search(query, count, threads=1).keys
        return [id for key in keys.tolist() for id in sorted(self._voices.get(key, ()))]

    def check(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Look up vectors near some of its own voices (N, E), as new recordings of them are, and
        look farther until it finds the nearest voice of 99 of 100.

        The voices themselves are found too easily: 99 of 100 where of new recordings it is 91.
        Raises DataError when it never does.
        """
        random = np.random.default_rng(1)
        rows = random.permutation(len(ids))[:CHECKED_VOICES]
        noise = unit_length(random.standard_normal((len(rows), vectors.shape[1])))
        queries = unit_length(vectors[rows] + CHECKED_NOISE * noise)
        nearest = exact_search(vectors, queries, 1)[1]
        row_of = {id: row for row, id in enumerate(ids)}
        for expansion in EXPANSIONS:
            self.set_expansion(expansion)
            found = [
                self._finds(query, float(best), row_of, vectors)
                for query, (best,) in zip(queries, nearest, strict=True)
            ]
            self.recall = float(np.mean(found)) if found else 1.0
            if self.recall >= LEAST_RECALL:
                return
        raise DataError(
            f"the index finds only {self.recall:.1%} of its own voices; search without it, which "
            "is exact"
        )

    def _finds(
        self, query: Vectors, cosine: float, row_of: Mapping[int, int], vectors: Vectors
    ) -> bool:
        """Whether a voice as near as the nearest one is among what it finds."""
        found = self.search(query, CHECKED_ENTRIES)
        return bool((vectors[[row_of[id] for id in found]] @ query).max(initial=-1) > cosine - 1e-5)

    def set_expansion(self, expansion: int) -> None:
        """How many entries a search looks at on its way; more find more, and take longer."""
        self._index.expansion_search = expansion

    def _assign(self, id: int, vector: Vectors) -> bool:
        """Give a voice its entry; whether that one has to be added to the graph."""
        codes = np.rint(vector * CODE_SCALE).astype(np.int8).tobytes()
        entry = self._entries.get(codes)
        is_new = entry is None
        if entry is None:
            entry = self._entries[codes] = len(self._entries)
        self.remove([id])
        self._entry_of[id] = entry
        self._voices.setdefault(entry, set()).add(id)
        return is_new


def best_of(rows: Ints, vectors: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors]:
    """Of some rows those with the highest products with a query, and these."""
    scores = vectors[rows] @ query
    order = np.lexsort((rows, -scores))[:top]
    return rows[order], scores[order]
