"""Score normalization with a cohort: vectors of speakers who are in no trial.

Some voices are close to all others, so a recording's scores are set in relation to its scores
against the cohort.
"""

from __future__ import annotations

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Vectors

__all__ = ["cohort_statistics", "subtract_mean"]

LEAST_SPREAD = 1e-5
"""a standard deviation of cosines below this is only float32's rounding"""
ROWS = 2048
"""vectors per block, whose scores against the cohort are in memory together"""


def subtract_mean(vectors: Vectors, cohort: Vectors) -> Vectors:
    """Unit vectors (N, E) minus the mean of the cohort's unit vectors (K, E), at unit length.

    The mean is what all voices and channels of a domain share, which distinguishes none of them.
    """
    return unit_length(unit_length(vectors) - unit_length(cohort).mean(axis=0))


def cohort_statistics(vectors: Vectors, cohort: Vectors, top_k: int) -> Vectors:
    """Mean and standard deviation of each vector's highest cosines with a cohort: (N, 2).

    Adaptive s-norm gives a trial of vectors e and t with cosine s the score
    ((s - mean_e) / std_e + (s - mean_t) / std_t) / 2, each side with its own `top_k` nearest of the
    cohort (Matějka et al., Analysis of score normalization in multilingual speaker recognition,
    Interspeech 2017, section 2.4: adaptive S-norm 1).

    Args:
        vectors: (N, E)
        cohort: (K, E), of speakers in no trial; ideally one vector per speaker
        top_k: number of nearest cohort vectors to use, 2 or more

    Raises DataError for a cohort of fewer than two vectors or without spread, ConfigError for a
    `top_k` above K or below 2.
    """
    if len(cohort) < 2:
        raise DataError(f"`cohort`: at least two vectors are needed, got {len(cohort)}")
    if not 2 <= top_k <= len(cohort):
        raise ConfigError(
            f"`top_k` must be from 2 to {len(cohort)}, the number of vectors in the cohort; got "
            f"{top_k}"
        )
    others = np.ascontiguousarray(unit_length(cohort).T)
    statistics = np.empty((len(vectors), 2), dtype=np.float32)
    for start in range(0, len(vectors), ROWS):
        rows = slice(start, start + ROWS)
        cosines = unit_length(vectors[rows]) @ others
        cosines.partition(len(cohort) - top_k, axis=1)
        nearest = cosines[:, len(cohort) - top_k :]
        statistics[rows, 0] = nearest.mean(axis=1)
        statistics[rows, 1] = nearest.std(axis=1)
    if statistics[:, 1].min() < LEAST_SPREAD:
        raise DataError(
            "`cohort`: its nearest vectors are all the same, so scores cannot be normalized with "
            "them; give vectors of more speakers"
        )
    return statistics
