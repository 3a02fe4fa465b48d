"""Clusters of unit vectors."""

from __future__ import annotations

import numpy as np

from timbral.embeddings.vectors import medoid_row, unit_length
from timbral.io.types import Ints, Vectors

__all__ = ["spherical_k_means"]


def spherical_k_means(vectors: Vectors, clusters: int, iterations: int = 20) -> Ints:
    """Spherical k-means (Dhillon and Modha, 2001): vectors (N, E) to cluster numbers (N,).

    The first centers are the medoid and then, one by one, the vector that is farthest from the
    centers so far, so the same vectors always give the same clusters. Cluster 0 is the largest.
    """
    unit = unit_length(vectors)
    first_centers = [unit[medoid_row(unit)]]
    while len(first_centers) < min(clusters, len(unit)):
        nearest = np.max(unit @ np.stack(first_centers).T, axis=1)
        first_centers.append(unit[int(np.argmin(nearest))])
    centers = np.stack(first_centers)
    labels = np.zeros(len(unit), dtype=np.int64)
    for _ in range(iterations):
        labels = np.argmax(unit @ centers.T, axis=1)
        sums = np.stack([unit[labels == label].sum(axis=0) for label in range(len(centers))])
        empty = np.linalg.norm(sums, axis=1, keepdims=True) == 0
        moved = np.where(empty, centers, unit_length(sums))
        if np.array_equal(moved, centers):
            break
        centers = moved
    by_size = np.argsort(-np.bincount(labels, minlength=len(centers)), kind="stable")
    return np.asarray(np.argsort(by_size)[labels])
