"""The confidence that a recording is in the right cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.embeddings.clusters.average_linkage import (
    cluster_means,
    mean_cosines,
    nearest_clusters,
)
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["ClusterFit"]

SHARPNESS = 15.0
"""log odds of a label per unit of its margin, a cosine"""


@dataclass(frozen=True)
class ClusterFit:
    """How well N recordings fit into their clusters and into the nearest other ones; all (N,)."""

    cosine: Vectors
    """mean cosine to the other recordings of the cluster; NaN if there are none"""
    other: Ints
    """number of the nearest other cluster; -1 if there is none"""
    other_cosine: Vectors
    """mean cosine to that cluster's recordings"""
    confidence: Floats
    """probability that the label is right, see `of`"""

    @classmethod
    def of(cls, vectors: Vectors, clusters: Ints, threshold: float) -> ClusterFit:
        """For unit vectors (N, E) in clusters (N,) that were cut at `threshold`.

        The confidence is a logistic function of the label's margin: how far the mean cosine to its
        own cluster is above both the threshold and the mean cosine to the nearest other cluster.
        For a single recording the margin is how far the nearest cluster is below the threshold.
        """
        means = cluster_means(vectors, clusters)
        other, other_cosine = nearest_clusters(vectors, means, clusters)
        cosine = mean_cosines(vectors, clusters)
        rival = np.maximum(other_cosine, threshold)
        margin = np.where(np.isnan(cosine), threshold - other_cosine, cosine - rival)
        confidence = 1.0 / (1.0 + np.exp(-SHARPNESS * np.clip(margin, -1, 1)))
        known = np.isfinite(other_cosine)
        return cls(cosine, np.where(known, other, -1), other_cosine, confidence)
