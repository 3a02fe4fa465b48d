"""Nuisance attribute projection (NAP): remove the effect of channels and rooms from vectors.

A telephone moves the vectors of all speakers the same way: two speakers on telephone lines get
closer to each other, and one speaker's recordings over two kinds of line farther apart.
"""

from __future__ import annotations

import numpy as np

from timbral.embeddings.vectors import speaker_sums, unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints, Vectors

__all__ = ["nuisance_directions"]


def nuisance_directions(cohort: Vectors, codes: Ints, count: int) -> Vectors:
    """The orthonormal directions (count, E) in which recordings of one speaker differ most.

    The eigenvectors of the largest eigenvalues of the within-speaker covariance of unit vectors
    (Solomonoff, Campbell and Boardman, Advances in channel compensation for SVM speaker
    recognition, ICASSP 2005).

    Args:
        cohort: (N, E), of speakers in no trial, each recorded over several lines
        codes: (N,) speaker numbers, from 0
        count: number of directions, 1 or more

    Raises DataError when there are fewer than `count` recordings besides one per speaker;
    ConfigError for a `count` below 1 or not below E.
    """
    if not 1 <= count < cohort.shape[1]:
        raise ConfigError(
            f"`directions` must be from 1 to {cohort.shape[1] - 1}, less than the size of the "
            f"vectors; got {count}"
        )
    counts = np.bincount(codes)
    repeated = int(np.maximum(counts - 1, 0).sum())
    if repeated < count:
        raise DataError(
            f"`cohort`: {count} directions need several recordings per speaker; there are "
            f"{len(codes):,} vectors of {np.count_nonzero(counts):,} speakers"
        )
    unit = unit_length(cohort)
    means = speaker_sums(unit, codes, len(counts)) / np.maximum(counts, 1)[:, None]
    differences = (unit - means[codes]).astype(np.float64)
    _, vectors = np.linalg.eigh(differences.T @ differences)
    return vectors[:, -count:].T.astype(np.float32)
