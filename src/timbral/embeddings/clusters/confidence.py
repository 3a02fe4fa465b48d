"""How sure it is that a recording is in the right cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.embeddings.clusters.average_linkage import (
    cluster_means,
    mean_cosines,
    nearest_clusters,
)
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["Fit"]

SHARPNESS = 15.0
"""by which the log odds of a label grow with the cosine that it has to spare"""


@dataclass(frozen=True)
class Fit:
    """Of N recordings, how well each fits into its cluster and into the nearest other one."""

    cosine: Vectors
    """mean, to the others of its cluster; NaN for one that is alone"""
    other: Ints
    """number of the nearest other cluster; -1 where there is none"""
    other_cosine: Vectors
    """mean, to that cluster's"""
    confidence: Floats
    """probability that the label is right, see `of`"""

    @classmethod
    def of(cls, vectors: Vectors, clusters: Ints, threshold: float) -> Fit:
        """Of unit vectors (N, E) in clusters (N,) that were cut at `threshold`.

        What a label has to spare is how much the mean cosine to its own cluster is higher than
        both the threshold and the mean cosine to the nearest other cluster; for a recording that
        is alone, how far the nearest cluster lies below the threshold.
        """
        means = cluster_means(vectors, clusters)
        other, other_cosine = nearest_clusters(vectors, means, clusters)
        cosine = mean_cosines(vectors, clusters)
        rival = np.maximum(other_cosine, threshold)
        to_spare = np.where(np.isnan(cosine), threshold - other_cosine, cosine - rival)
        confidence = 1.0 / (1.0 + np.exp(-SHARPNESS * np.clip(to_spare, -1, 1)))
        known = np.isfinite(other_cosine)
        return cls(cosine, np.where(known, other, -1), other_cosine, confidence)
