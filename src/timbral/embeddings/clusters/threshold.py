"""Estimate from the vectors alone at which mean cosine two clusters are one speaker."""

from __future__ import annotations

import numpy as np

from timbral.embeddings.clusters.average_linkage import (
    ClusterTree,
    cluster_means,
    cluster_sums,
    nearest_clusters,
)
from timbral.errors import DataError
from timbral.io.types import Ints, Vectors

__all__ = ["best_threshold", "least_threshold"]

PAIRS = 200_000
DEVIATIONS = 4.0
"""standard deviations above the mode that hardly any cosine of different speakers reaches"""
COPIES = 0.99
"""cosines from this on are those of copies, not of different recordings"""
STEP = 0.02
MEASURED = 2_000
"""largest number of recordings whose silhouettes are computed"""


def least_threshold(vectors: Vectors) -> float:
    """A cosine that hardly any pair of different speakers reaches, from unit vectors (N, E).

    Nearly all pairs of recordings are of different speakers, and the others have higher cosines.
    So the distribution for different speakers is estimated from the mode of all cosines and the
    standard deviation of those below it. Raises DataError if the estimate is 1 or more, and for
    two recordings.
    """
    if len(vectors) == 2:
        cosine = float(vectors[0] @ vectors[1])
        raise DataError(
            f"two recordings are too few to cluster: their cosine is {cosine:.3f}, and nothing "
            "shows whether that is high. `timbral verify` decides about two recordings; or give "
            "`threshold`, the cosine from which on they are of one speaker, such as 0.5"
        )
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(vectors), (2, PAIRS))
    first, second = first[first != second], second[first != second]
    blocks = np.array_split(np.arange(len(first)), 20)
    cosines = np.concatenate(
        [np.einsum("ne,ne->n", vectors[first[rows]], vectors[second[rows]]) for rows in blocks]
    )
    if not len(cosines):
        return 0.5
    mode = _mode(np.sort(cosines))
    below = cosines[cosines <= mode]
    deviation = float(np.sqrt(np.mean((below - mode) ** 2)))
    least = mode + DEVIATIONS * deviation
    if least >= 1.0 and mode < COPIES:
        raise DataError(
            f"no threshold can be estimated from the cosines of these {len(vectors):,} "
            "recordings: they are of too few speakers, or of only one. Give `threshold`, the "
            "cosine from which on two recordings are of one speaker with this encoder, such as 0.5"
        )
    return float(np.clip(least, 0.0, 1.0))


def best_threshold(vectors: Vectors, tree: ClusterTree, least: float) -> float:
    """The threshold, at least `least`, whose clusters have the highest mean silhouette.

    A recording's silhouette (Rousseeuw, 1987), from -1 to 1, compares its mean cosine distances to
    the other recordings of its cluster and to those of the nearest other cluster; it is 0 for a
    single recording. Both too large and too small clusters lower it, and nothing has to be known
    about the encoder. It is computed for at most 2,000 recordings, against all clusters.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(vectors))[:MEASURED])
    cuts = np.arange(least, max(1.0, least + STEP), STEP)
    silhouettes = np.array([_silhouette(vectors, tree.labels(cut), rows) for cut in cuts])
    best = np.flatnonzero(silhouettes >= silhouettes.max() - 1e-6)
    plateau = best[: 1 + np.count_nonzero(np.diff(best) == 1)]
    return float(cuts[plateau[len(plateau) // 2]])


def _silhouette(vectors: Vectors, labels: Ints, rows: Ints) -> float:
    """The mean silhouette of some rows (R,) of clusters (N,)."""
    sizes = np.bincount(labels)
    sums = cluster_sums(vectors, labels)
    own, measured = labels[rows], vectors[rows]
    _, other = nearest_clusters(measured, cluster_means(vectors, labels), own)
    to_own = (np.einsum("ne,ne->n", measured, sums[own]) - 1) / np.maximum(sizes[own] - 1, 1)
    far, near = 1 - other, 1 - to_own
    counted = (sizes[own] > 1) & np.isfinite(other)
    values = (far - near)[counted] / np.maximum(np.maximum(far, near)[counted], 1e-9)
    return float(values.sum() / len(rows))


def _mode(ordered: Vectors) -> float:
    """The half-sample mode: repeatedly, the shortest interval with half of the remaining values."""
    while len(ordered) > 3:
        half = (len(ordered) + 1) // 2
        widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
        start = int(np.argmin(widths))
        ordered = ordered[start : start + half]
    return float(np.median(ordered))
