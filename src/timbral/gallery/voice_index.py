"""An approximate index of voices, for galleries in which an exact search is too slow.

Voices lie in cells around centers (an inverted file), each as 4-bit codes of pairs of its numbers,
and a search looks through the cells whose centers are nearest (Jégou, Douze and Schmid, Product
Quantization for Nearest Neighbor Search, PAMI 2011; André, Kermarrec and Le Scouarnec, Cache
Locality Is Not Enough, VLDB 2015, for codes that are summed in registers). It is faiss's.

Voices that are equal to 8 bits have one entry together, so that many copies of one do not fill the
places of a search. An index looks up made-up new recordings of its own voices before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
MORE_ENTRIES = 64
"""than a search is asked for: codes are coarse, so that the nearest voice may not come first"""
LEAST_IN_CELLS = 10_000
"""voices; fewer are multiplied one by one"""
CELLS_PER_ROOT = 3
"""cells to the square root of the number of voices, to the nearest power of two"""
TRAINING_VOICES = 40
"""for each cell, from which its center is learned"""
PROBES = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
"""cells that a search looks through, the first number that finds enough"""
BLOCK_VOICES = 10_000
CODE_SCALE = 127.0


class VoiceIndex:
    """Finds which voices may be nearest; their cosines are computed from their own vectors.

    Its cells are those of the voices that it is given first: when there are many times as many
    later on, it is slower than one that is made again.
    """

    def __init__(self, embedding_dim: int) -> None:
        self._faiss = _faiss()
        self._dim = embedding_dim + embedding_dim % 2  # pairs of numbers
        self._index: Any = None
        self._entries: dict[bytes, int] = {}
        """by the codes of a vector the entry that stands for it"""
        self._entry_of: dict[int, int] = {}
        """by a voice's number; a voice that has changed has another entry then"""
        self._voices: dict[int, set[int]] = {}
        """by entry the voices whose vector it is"""
        self.probes = 1
        """cells that a search looks through"""
        self.recall = 1.0
        """fraction of its own voices' made-up new recordings that it found when it was checked"""

    def __len__(self) -> int:
        return len(self._entry_of)

    def add(self, ids: Sequence[int], vectors: Vectors, progress: Progress | None = None) -> None:
        """Take up voices, new ones and ones that have changed."""
        if self._index is None and len(ids):
            self._index = self._of_cells(vectors)
        for start in range(0, len(ids), BLOCK_VOICES):
            end = min(start + BLOCK_VOICES, len(ids))
            added = [row for row in range(start, end) if self._assign(ids[row], vectors[row])]
            if added:
                with self._one_thread():
                    self._index.add(self._even(vectors[added]))  # entries are counted as they come
            if progress is not None:
                progress(end, len(ids))

    def remove(self, ids: Iterable[int]) -> None:
        """Voices are no longer found; their entries stay until the index is made again."""
        for id in ids:
            entry = self._entry_of.pop(id, None)
            if entry is not None:
                self._voices[entry].discard(id)

    def search(self, query: Vectors, top: int) -> list[int]:
        """Numbers of voices among which the `top` nearest to a unit vector (E,) should be."""
        if self._index is None:
            return []
        with self._one_thread():
            _, found = self._index.search(self._even(query[None]), top + MORE_ENTRIES)
        entries = [entry for entry in found[0].tolist() if entry >= 0]
        return [id for entry in entries for id in sorted(self._voices[entry])]

    def check(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Look up vectors near some of its own voices (N, E), as new recordings of them are, and
        look through more cells until it finds the nearest voice of 99 of 100.

        The voices themselves are found too easily: 99 of 100 where of new recordings it is 91.
        Raises DataError when it never does.
        """
        random = np.random.default_rng(1)
        rows = random.permutation(len(ids))[:CHECKED_VOICES]
        sample = vectors[rows]
        # Random sums of voices vary in the directions in which voices do: what varies in all alike
        # leads a search less astray.
        noise = unit_length(random.standard_normal((len(rows), len(rows))) @ sample)
        queries = unit_length(sample + CHECKED_NOISE * noise)
        nearest = exact_search(vectors, queries, 1)[1]
        row_of = {id: row for row, id in enumerate(ids)}
        for probes in PROBES:
            self.set_probes(probes)
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
        found = self.search(query, 1)
        return bool((vectors[[row_of[id] for id in found]] @ query).max(initial=-1) > cosine - 1e-5)

    def set_probes(self, probes: int) -> None:
        """How many cells a search looks through; more find more, and take longer."""
        self.probes = probes
        if hasattr(self._index, "nprobe"):
            self._index.nprobe = min(probes, self._index.nlist)

    def _of_cells(self, vectors: Vectors) -> Any:
        """An empty index whose cells are learned from vectors (N, E)."""
        faiss, inner_product = self._faiss, self._faiss.METRIC_INNER_PRODUCT
        if len(vectors) < LEAST_IN_CELLS:
            return faiss.IndexFlat(self._dim, inner_product)
        cells = 2 ** round(np.log2(CELLS_PER_ROOT * np.sqrt(len(vectors))))
        codes = f"PQ{self._dim // 2}x4fs"
        index = faiss.index_factory(self._dim, f"IVF{cells},{codes}", inner_product)
        index.cp.min_points_per_centroid = 1  # or it writes to standard error about a few missing
        random = np.random.default_rng(0)
        rows = np.sort(random.permutation(len(vectors))[: TRAINING_VOICES * cells])
        index.train(self._even(vectors[rows]))
        return index

    def _even(self, vectors: Vectors) -> Vectors:
        """Vectors (N, E) as faiss takes them, with a zero behind an odd E."""
        padded = np.pad(vectors, ((0, 0), (0, self._dim - vectors.shape[1])))
        return np.ascontiguousarray(padded, np.float32)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """More wait for each other longer than one query takes."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)

    def _assign(self, id: int, vector: Vectors) -> bool:
        """Give a voice its entry; whether that one has to be added to the index."""
        codes = np.rint(vector * CODE_SCALE).astype(np.int8).tobytes()
        entry = self._entries.get(codes)
        is_new = entry is None
        if entry is None:
            entry = self._entries[codes] = len(self._entries)
        self.remove([id])
        self._entry_of[id] = entry
        self._voices.setdefault(entry, set()).add(id)
        return is_new


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("an index of voices", "gallery") from None
    return faiss


def best_of(rows: Ints, vectors: Vectors, query: Vectors, top: int) -> tuple[Ints, Vectors]:
    """Of some rows those with the highest products with a query, and these."""
    scores = vectors[rows] @ query
    order = np.lexsort((rows, -scores))[:top]
    return rows[order], scores[order]
