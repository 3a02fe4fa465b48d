"""An approximate index of voices, for galleries in which an exact search is too slow.

Voices are in cells around centers (an inverted file), each as 4-bit codes of pairs of its numbers.
A search looks through the cells with the nearest centers (Jégou, Douze and Schmid, Product
Quantization for Nearest Neighbor Search, PAMI 2011; André, Kermarrec and Le Scouarnec, Cache
Locality Is Not Enough, VLDB 2015, for codes that are summed in registers). It uses faiss.

Voices that are equal to 8 bits share one entry, so that many copies of one voice do not fill the
results of a search. Before it is used, the index is tested with synthetic new recordings of its own
voices.
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
"""least fraction of new recordings of its own voices whose nearest voice the index must find"""
CHECKED_VOICES = 500
CHECKED_NOISE = 0.6
"""length of the noise added to a voice's unit vector; gives a cosine of about 0.85"""
MORE_ENTRIES = 64
"""extra entries to search: codes are coarse, so the nearest voice may not be first"""
LEAST_IN_CELLS = 10_000
"""fewer voices are searched without cells"""
CELLS_PER_ROOT = 3
"""cells per square root of the number of voices, rounded to a power of two"""
TRAINING_VOICES = 40
"""voices per cell for learning its center"""
PROBES = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
"""numbers of cells per search to try; the first one that finds enough is used"""
BLOCK_VOICES = 10_000
CODE_SCALE = 127.0


class VoiceIndex:
    """Finds which voices may be nearest; their cosines are then computed exactly.

    Its cells come from the voices that it is given first. When there are many times as many later,
    building it again makes it faster.
    """

    def __init__(self, embedding_dim: int) -> None:
        self._faiss = _faiss()
        self._dim = embedding_dim + embedding_dim % 2  # pairs of numbers
        self._index: Any = None
        self._entries: dict[bytes, int] = {}
        """the entry for the codes of a vector"""
        self._entry_of: dict[int, int] = {}
        """the entry for a voice's number; a voice that changes gets another entry"""
        self._voices: dict[int, set[int]] = {}
        """the voices of each entry"""
        self.probes = 1
        """cells per search"""
        self.recall = 1.0
        """fraction of synthetic new recordings of its own voices that it found in its test"""

    def __len__(self) -> int:
        return len(self._entry_of)

    def add(self, ids: Sequence[int], vectors: Vectors, progress: Progress | None = None) -> None:
        """Add voices that are new or have changed."""
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
        """Stop finding these voices; their entries stay until the index is built again."""
        for id in ids:
            entry = self._entry_of.pop(id, None)
            if entry is not None:
                self._voices[entry].discard(id)

    def search(self, query: Vectors, top: int) -> list[int]:
        """Numbers of voices that should include the `top` nearest to a unit vector (E,)."""
        if self._index is None:
            return []
        with self._one_thread():
            _, found = self._index.search(self._even(query[None]), top + MORE_ENTRIES)
        entries = [entry for entry in found[0].tolist() if entry >= 0]
        return [id for entry in entries for id in sorted(self._voices[entry])]

    def check(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Test with vectors near its own voices (N, E); use more cells until enough are found.

        The vectors are like new recordings of these voices; the nearest voice must be found for 99
        of 100. The voices themselves are found too easily: 99 of 100 when it is 91 for new
        recordings. Raises DataError if it never finds enough.
        """
        random = np.random.default_rng(1)
        rows = random.permutation(len(ids))[:CHECKED_VOICES]
        sample = vectors[rows]
        # Random sums of voices vary in the directions in which voices vary. Noise that is equal in
        # all directions is an easier test: it changes the order of the neighbors less.
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
        """Whether it finds a voice as near as the nearest one."""
        found = self.search(query, 1)
        return bool((vectors[[row_of[id] for id in found]] @ query).max(initial=-1) > cosine - 1e-5)

    def set_probes(self, probes: int) -> None:
        """Set the number of cells per search; more find more, and take longer."""
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
        """Vectors (N, E) for faiss, padded with a zero if E is odd."""
        padded = np.pad(vectors, ((0, 0), (0, self._dim - vectors.shape[1])))
        return np.ascontiguousarray(padded, np.float32)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Use one thread: several wait for each other longer than one query takes."""
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)

    def _assign(self, id: int, vector: Vectors) -> bool:
        """Set the entry of a voice; returns whether it is new in the index."""
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
    """The rows with the highest products with a query, among the given ones, and the products."""
    scores = vectors[rows] @ query
    order = np.lexsort((rows, -scores))[:top]
    return rows[order], scores[order]
