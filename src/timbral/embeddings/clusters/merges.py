"""List pairs of clusters that may be one speaker, for listening."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.clusters.average_linkage import (
    BLOCK_ROWS,
    cluster_means,
    cluster_sums,
)
from timbral.io.outputs import FileKind
from timbral.io.types import Ints, Vectors

__all__ = ["MERGES", "merge_table"]

MARGIN = 0.1
"""how far below the threshold, as a cosine, pairs are still listed"""
MOST_PAIRS = 10_000
SCHEMA = pa.schema(
    [
        ("speaker", pa.string()),
        ("other_speaker", pa.string()),
        ("cosine", pa.float64()),
        ("num_utterances", pa.int64()),
        ("other_num_utterances", pa.int64()),
        ("utterance", pa.string()),
        ("other_utterance", pa.string()),
        ("path", pa.string()),
        ("other_path", pa.string()),
    ]
)
"""`cosine` is the mean over pairs of recordings; `utterance` is the cluster's most typical one"""
MERGES = FileKind("a list of merges that `cluster` wrote", frozenset(SCHEMA.names))


def merge_table(
    vectors: Vectors,
    clusters: Ints,
    is_speaker: NDArray[np.bool_],
    threshold: float,
    names: NDArray[np.object_],
    table: pa.Table,
) -> pa.Table:
    """Pairs of speakers at most 0.1 below the threshold, the most similar first, at most 10,000.

    Args:
        vectors: unit vectors (N, E)
        clusters: their clusters (N,)
        is_speaker: whether each cluster is a speaker, not noise (M,)
        threshold: mean cosine from which on clusters were merged
        names: the clusters' names (M,)
        table: the recordings
    """
    speakers = np.flatnonzero(is_speaker)
    sizes = np.bincount(clusters)
    means = cluster_means(vectors, clusters)[speakers]
    pairs = _near_pairs(means, threshold - MARGIN)
    typical = _typical_rows(vectors, clusters)
    utterances, paths = table["utterance"], table["path"]
    rows = []
    for one, other, cosine in pairs:
        first, second = speakers[one], speakers[other]
        shown, other_shown = int(typical[first]), int(typical[second])
        rows.append(
            {
                "speaker": names[first],
                "other_speaker": names[second],
                "cosine": cosine,
                "num_utterances": int(sizes[first]),
                "other_num_utterances": int(sizes[second]),
                "utterance": utterances[shown].as_py(),
                "other_utterance": utterances[other_shown].as_py(),
                "path": paths[shown].as_py(),
                "other_path": paths[other_shown].as_py(),
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def _near_pairs(means: Vectors, least: float) -> list[tuple[int, int, float]]:
    """Pairs of means (S, E) whose product is `least` or more, the highest first."""
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(means), BLOCK_ROWS):
        cosines = means[start : start + BLOCK_ROWS] @ means[start:].T
        cosines[np.tri(*cosines.shape, dtype=np.bool_)] = -np.inf
        pairs += (
            (start + int(row), start + int(column), float(cosines[row, column]))
            for row, column in np.argwhere(cosines >= least)
        )
        pairs = sorted(pairs, key=lambda pair: -pair[2])[:MOST_PAIRS]
    return pairs


def _typical_rows(vectors: Vectors, clusters: Ints) -> Ints:
    """The row of each cluster (M,) that is nearest to its mean."""
    nearness = np.einsum("ne,ne->n", vectors, cluster_sums(vectors, clusters)[clusters])
    order = np.lexsort((-nearness, clusters))
    starts = np.searchsorted(clusters[order], np.arange(int(clusters.max()) + 1))
    return np.asarray(order[starts], dtype=np.int64)
