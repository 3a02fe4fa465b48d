"""Exact average linkage of unit vectors by cosine, in memory linear in N."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from timbral.io.types import Ints, Vectors

__all__ = [
    "ClusterTree",
    "average_linkage",
    "cluster_means",
    "cluster_sums",
    "mean_cosines",
    "nearest_clusters",
]

BLOCK_ROWS = 256
BLOCK_COLUMNS = 8192
"""8 MB of cosines at once, which fit into a processor's cache"""


@dataclass(frozen=True)
class ClusterTree:
    """The merges of a hierarchical clustering."""

    leaves: Ints
    """initial cluster of each vector (N,); equal vectors share one"""
    parent: Ints
    """the cluster into which each was merged (M,); itself if it was not"""
    cosine: Vectors
    """mean cosine over all pairs of both at that merge (M,); -inf if there was none"""

    def labels(self, threshold: float) -> Ints:
        """Cluster numbers (N,) after all merges at `threshold` or more, 0 for the largest."""
        parent = np.where(self.cosine >= threshold, self.parent, np.arange(len(self.parent)))
        while not np.array_equal(above := parent[parent], parent):
            parent = above
        return _by_size(parent[self.leaves])


def average_linkage(
    vectors: Vectors,
    least: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ClusterTree:
    """Merge the two clusters with the highest mean cosine, as long as it is `least` or more.

    From unit vectors (N, E). The merges are those of the usual algorithm (UPGMA on 1 - cosine),
    except among equal cosines, without its matrix (N, N): the mean cosine of two clusters is the
    product of their mean vectors, and mutual nearest neighbors may be merged in any order, because
    no merge brings a third cluster closer (Murtagh, 1983; in rounds over all such pairs: Sumengen
    et al., 2021). For the same reason, a cluster without a neighbor at `least` is finished.
    `progress` is called with the number of clusters finished or merged, and of all.
    """
    leaves = _same_vectors(vectors)
    state = _State.of(vectors, leaves)
    total = len(state.ids)
    tree = ClusterTree(leaves, np.arange(total), np.full(total, -np.inf, np.float32))
    while True:
        state = state.unfinished(least)
        progress(total - len(state.ids), total)
        if len(state.ids) < 2:
            break
        first, second = state.mutual_pairs()
        tree.parent[state.ids[second]] = state.ids[first]
        tree.cosine[state.ids[second]] = state.cosines[first]
        state = state.merged(first, second)
    progress(total, total)
    return tree


def nearest_clusters(rows: Vectors, means: Vectors, own: Ints) -> tuple[Ints, Vectors]:
    """For each row (R, E) the nearest of the means (M, E), except its `own` (R,).

    Returns indices (R,) and products (R,), which are -inf if there is no other mean.
    """
    nearest = np.zeros(len(rows), dtype=np.int64)
    highest = np.full(len(rows), -np.inf, dtype=np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        local = np.arange(len(rows[block]))
        for column in range(0, len(means), BLOCK_COLUMNS):
            cosines = rows[block] @ means[column : column + BLOCK_COLUMNS].T
            inside = (own[block] >= column) & (own[block] < column + cosines.shape[1])
            cosines[local[inside], own[block][inside] - column] = -np.inf
            best = cosines.argmax(axis=1)
            value = cosines[local, best]
            better = value > highest[block]
            nearest[block] = np.where(better, best + column, nearest[block])
            highest[block] = np.where(better, value, highest[block])
    return nearest, highest


def mean_cosines(vectors: Vectors, labels: Ints) -> Vectors:
    """Each vector's mean cosine to the others of its cluster (N,); NaN if there are none."""
    counts = np.bincount(labels)[labels]
    sums = cluster_sums(vectors, labels)[labels]
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (np.einsum("ne,ne->n", vectors, sums) - 1) / (counts - 1)
    return np.where(counts > 1, others, np.nan).astype(np.float32)


@dataclass
class _State:
    """The M clusters that may still be merged."""

    ids: Ints
    """their rows in `ClusterTree.parent` (M,)"""
    sums: Vectors
    """sums of their vectors (M, E)"""
    sizes: Vectors
    nearest: Ints
    """index of the nearest other cluster (M,)"""
    cosines: Vectors
    """mean cosine to it, over all pairs (M,)"""

    @classmethod
    def of(cls, vectors: Vectors, same: Ints) -> _State:
        sums = cluster_sums(vectors, same)
        sizes = np.bincount(same).astype(np.float32)
        ids = np.arange(len(sums))
        means = sums / sizes[:, None]
        return cls(ids, sums, sizes, *nearest_clusters(means, means, ids))

    def unfinished(self, threshold: float) -> _State:
        """The clusters with a neighbor at the threshold."""
        kept = self.cosines >= threshold
        # Rounding may put (one, other) at the threshold and (other, one) below it.
        one = np.flatnonzero(kept & ~kept[self.nearest])
        other = self.nearest[one]
        kept[other] = True
        self.nearest[other], self.cosines[other] = one, self.cosines[one]
        return self._kept(kept)

    def mutual_pairs(self) -> tuple[Ints, Ints]:
        """Pairs of mutual nearest neighbors; at least one pair, even if rounding hides all."""
        index = np.arange(len(self.ids))
        first = index[(self.nearest[self.nearest] == index) & (index < self.nearest)]
        if not len(first):
            first = np.array([int(np.argmax(self.cosines))])
        return first, self.nearest[first]

    def merged(self, first: Ints, second: Ints) -> _State:
        """Merge each `second` into its `first`; nearest clusters affected by it are searched
        again.
        """
        self.sums[first] += self.sums[second]
        self.sizes[first] += self.sizes[second]
        changed = np.zeros(len(self.ids), dtype=bool)
        changed[first] = changed[second] = True
        self.cosines[changed | changed[self.nearest]] = np.nan  # unknown
        kept = np.ones(len(self.ids), dtype=bool)
        kept[second] = False
        state = self._kept(kept)
        rows = np.flatnonzero(np.isnan(state.cosines))
        means = state.sums / state.sizes[:, None]
        state.nearest[rows], state.cosines[rows] = nearest_clusters(means[rows], means, rows)
        return state

    def _kept(self, kept: np.typing.NDArray[np.bool_]) -> _State:
        if kept.all():
            return self
        moved = np.cumsum(kept) - 1
        return _State(
            self.ids[kept],
            self.sums[kept],
            self.sizes[kept],
            moved[self.nearest[kept]],
            self.cosines[kept],
        )


def _same_vectors(vectors: Vectors) -> Ints:
    """Initial cluster numbers (N,), shared by equal vectors, so that copies take no time."""
    rows = np.ascontiguousarray(vectors).view(
        np.dtype((np.void, vectors.dtype.itemsize * vectors.shape[1]))
    )
    same: Ints = np.unique(rows.ravel(), return_inverse=True)[1]
    return same.astype(np.int64)


def cluster_means(vectors: Vectors, labels: Ints) -> Vectors:
    """The means of each cluster's vectors (M, E); their products are mean cosines."""
    sizes = np.bincount(labels)
    return np.asarray(cluster_sums(vectors, labels) / sizes[:, None], dtype=np.float32)


def cluster_sums(vectors: Vectors, labels: Ints) -> Vectors:
    """The sums of each cluster's vectors (M, E)."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(int(labels.max()) + 1))
    sums: Vectors = np.add.reduceat(vectors[order], starts, axis=0)
    return sums


def _by_size(labels: Ints) -> Ints:
    """Renumber clusters from 0, the largest first; equal ones by first occurrence."""
    _, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[inverse], dtype=np.int64)
