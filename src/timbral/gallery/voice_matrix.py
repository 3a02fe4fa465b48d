"""The vectors of all voices in memory, kept up to date with the database, and exact search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.gallery.bounded_search import BoundedSearch, pays_off
from timbral.gallery.exact_search import exact_search
from timbral.gallery.guard import Near
from timbral.gallery.prefetched_search import PrefetchedSearch
from timbral.gallery.voice_index import VoiceIndex, best_of
from timbral.gallery.voice_store import VoiceBlock, VoiceStore
from timbral.io.types import Floats, Ints, Progress, Vectors

__all__ = ["OtherVoices", "Snapshot", "VoiceMatrix"]

Found = tuple[Ints, Vectors]
"""rows (K,) and their cosines"""
NEAR_VOICES = 64
"""how many nearest voices by cosine are compared to find the likeliest: channels and rooms change
the order of more than a few neighbors"""


@dataclass(frozen=True)
class Snapshot:
    """All voices at one moment."""

    names: tuple[str, ...]
    vectors: Vectors
    """(N, E), of unit length"""
    conditions: Conditions
    """(N,), of all recordings of each voice together"""
    mapped: NDArray[np.bool_]
    """(N,), whether a voice has only vectors mapped by a migration"""


@dataclass(frozen=True)
class _Group:
    """Voices that are compared in the same way."""

    rows: Ints | None
    """(G,) rows; None: all"""
    vectors: Vectors
    """(G, E), of unit length"""
    mean: Vectors | None
    """(E,), subtracted from vectors that are compared with them"""


class VoiceMatrix:
    """The voices of a store in memory, in any order: the last row replaces a removed one.

    Capacity grows by doubling, so that adding N voices takes time linear in N. Threads take turns.
    """

    def __init__(
        self, store: VoiceStore, embedding_dim: int, mapped_mean: Vectors | None = None
    ) -> None:
        """`mapped_mean` (E,) is subtracted from vectors that are compared with mapped ones."""
        self._store, self._mapped_mean = store, mapped_mean
        self.lock = store.database.lock
        """one lock for both: a writing thread reads the matrix, a searching one the store"""
        self._dim = embedding_dim
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after a transaction that was rolled back; it is read again."""
        with self.lock:
            self._change = 0
            self.ids: list[int] = []
            self.names: list[str] = []
            self._rows: dict[int, int] = {}
            self._vectors: Vectors = np.empty((0, self._dim), np.float32)
            self._conditions: Floats = np.empty((0, 4))
            self._groups: tuple[_Group, ...] | None = None
            self._prefetched: PrefetchedSearch | None = None
            self._bounded: BoundedSearch | None = None
            self.index: VoiceIndex | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors(self) -> Vectors:
        """(N, E); the rows may change with the next `refresh`."""
        return self._vectors[: len(self.ids)]

    @property
    def conditions(self) -> Conditions:
        """(N,)"""
        return Conditions(*self._conditions[: len(self.ids), :3].T)

    def refresh(self) -> None:
        """Read what any process has written since the last time."""
        with self.lock:
            change = self._store.changes()
            inside = self._store.in_transaction
            if change == self._change and not inside:
                return
            for block in self._store.changed_since(self._change):
                self._put(block)
            self._drop(self._store.removed_since(self._change))
            self._change = change

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction in which the matrix is up to date and nobody else writes."""
        if self._store.in_transaction:
            self.refresh()
            yield
            return
        wrote = False
        try:
            with self._store.writing():  # waits without the lock, so that others can search
                self.refresh()
                try:
                    yield
                except BaseException:
                    if self._store.wrote:  # what was read of it was rolled back
                        self.clear()
                    raise
                wrote = self._store.wrote
        except BaseException:
            if wrote:  # it could not be committed
                self.clear()
            raise

    def snapshot(self) -> Snapshot:
        """A copy of everything."""
        with self.lock:
            values = self._conditions[: len(self.ids)].copy()
            return Snapshot(
                tuple(self.names), self.vectors.copy(), Conditions(*values.T[:3]), values[:, 3] > 0
            )

    def search(
        self, queries: Vectors, top: int, *, indexed: bool = False
    ) -> tuple[list[list[str]], Vectors]:
        """The names of the `top` nearest voices to each unit vector (N, E), best first.

        Also their cosines (N, K), with K the smaller of `top` and the number of voices.
        """
        with self.lock:
            if indexed and self.index is not None:
                found = [self._search_index(self.index, query, top) for query in queries]
            elif pays_off(len(self), len(queries)):
                found = [self._search_bounded(query, top) for query in queries]
            else:
                found = list(zip(*exact_search(self.vectors, queries, top), strict=True))
            rows = [best for best, _ in found]
            scores = np.stack([each for _, each in found])
            return [[self.names[row] for row in best] for best in rows], scores

    def build_index(self, progress: Progress | None = None) -> VoiceIndex:
        """Build an index of all voices, which is kept up to date from now on."""
        with self.lock:
            index = VoiceIndex(self._dim)
            index.add(self.ids, self.vectors, progress)
            index.check(self.ids, self.vectors)
            self.index = index
            return index

    def _search_index(self, index: VoiceIndex, query: Vectors, top: int) -> Found:
        ids = index.search(query, top)
        if len(ids) < min(top, len(self)):  # many of them were removed
            return self._search_bounded(query, top)
        rows = np.array([self._rows[id] for id in ids], np.int64)
        return best_of(rows, self.vectors, query, top)

    def _search_bounded(self, query: Vectors, top: int) -> Found:
        if self._bounded is None:
            self._bounded = BoundedSearch()
        return self._bounded.search(self.vectors, query, min(top, len(self)))

    def nearest_but(self, name: str, queries: Vectors, top: int) -> list[Near]:
        """The `top` nearest voices to each unit vector (N, E), without the voice of this name."""
        with self.lock:
            rows = []
            for group in self._comparable_groups():
                centered = queries if group.mean is None else unit_length(queries - group.mean)
                found = self._nearest_in(group, centered, top + 1)
                rows.append(found if group.rows is None else group.rows[found])
            return [self._near(name, best, top) for best in np.concatenate(rows, axis=1)]

    def prefetch(self, queries: Vectors) -> None:
        """Announce unit vectors (N, E) whose nearest voices will be asked for one by one."""
        with self.lock:
            self._prefetched = None
            if len(self) and self._comparable_groups()[0].rows is None:
                self._prefetched = PrefetchedSearch(self.vectors, queries, NEAR_VOICES + 1)

    def _nearest_in(self, group: _Group, queries: Vectors, top: int) -> Ints:
        """The rows of `exact_search`."""
        if self._prefetched is not None and group.rows is None:
            found = [self._prefetched.search(group.vectors, query, top) for query in queries]
            known = [each for each in found if each is not None]
            if len(known) == len(queries):
                return np.stack([rows for rows, _ in known])
        return exact_search(group.vectors, queries, top)[0]

    def _near(self, name: str, rows: Ints, top: int) -> Near:
        """The best rows (K,) of each group, without the voice of this name."""
        kept = np.array([self.names[row] != name for row in rows], bool)
        rows = rows[kept]
        values = self._conditions[rows]
        mapped = values[:, 3] > 0 if self._mapped_mean is not None else np.zeros(len(rows), bool)
        best = np.concatenate([np.flatnonzero(~mapped)[:top], np.flatnonzero(mapped)[:top]])
        names = [self.names[row] for row in rows[best]]
        conditions = Conditions(*values[best].T[:3])
        return Near(names, self._vectors[rows[best]], conditions, mapped[best])

    def _comparable_groups(self) -> tuple[_Group, ...]:
        """One group of all voices, or one of embedded and one of mapped voices."""
        mapped = self._conditions[: len(self.ids), 3] > 0
        if self._mapped_mean is None or not mapped.any():
            return (_Group(None, self.vectors, None),)
        if self._groups is None:
            native, mapped_rows = np.flatnonzero(~mapped), np.flatnonzero(mapped)
            centered = unit_length(self._vectors[mapped_rows] - self._mapped_mean)
            self._groups = (
                _Group(native, self._vectors[native], None),
                _Group(mapped_rows, centered, self._mapped_mean),
            )
        return self._groups

    def _put(self, block: VoiceBlock) -> None:
        """Add or update voices."""
        self._groups = None
        known = [self._rows.get(id) for id in block.ids]
        new = len(self.ids) + sum(row is None for row in known)
        if new > len(self._vectors):
            self._grow(max(2 * len(self._vectors), new, 256))
        rows = np.empty(len(known), np.int64)
        for position, (id, name) in enumerate(zip(block.ids, block.names, strict=True)):
            row = known[position]
            if row is None:
                row = self._rows[id] = len(self.ids)
                self.ids.append(id)
                self.names.append(name)
            self.names[row] = name
            rows[position] = row
        if self._prefetched is not None:
            self._prefetched.change(rows)
        self._vectors[rows] = block.vectors
        self._conditions[rows] = block.conditions
        if self._bounded is not None:
            self._bounded.change(rows)
        if self.index is not None:
            self.index.add(block.ids, block.vectors)

    def _grow(self, rows: int) -> None:
        for name in ("_vectors", "_conditions"):
            old = getattr(self, name)
            new = np.empty((rows, old.shape[1]), old.dtype)
            new[: len(self.ids)] = old[: len(self.ids)]
            setattr(self, name, new)

    def _drop(self, ids: Iterable[int]) -> None:
        """Remove voices; the last row replaces each, and the free row is set to zero."""
        self._groups = self._prefetched = None
        for id in ids:
            row = self._rows.pop(id, None)
            if row is None:
                continue
            last = len(self.ids) - 1
            if self._bounded is not None:
                self._bounded.forget(np.array([row, last]))
            if self.index is not None:
                self.index.remove([id])
            self._vectors[row], self._conditions[row] = self._vectors[last], self._conditions[last]
            self._vectors[last] = 0
            last_id, last_name = self.ids.pop(), self.names.pop()
            if row != last:
                self.ids[row], self.names[row] = last_id, last_name
                self._rows[last_id] = row


class OtherVoices:
    """The voices of a matrix except one, for a Guard."""

    def __init__(self, matrix: VoiceMatrix, name: str, *, is_enrolled: bool) -> None:
        self._matrix, self._name = matrix, name
        self._count = len(matrix) - is_enrolled

    def __len__(self) -> int:
        return self._count

    def nearest(self, vectors: Vectors) -> list[Near]:
        return self._matrix.nearest_but(self._name, vectors, NEAR_VOICES)
