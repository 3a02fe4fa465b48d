"""Score normalization with a cohort: vectors of speakers who are in no trial.

Some voices are close to everybody. What a recording scores against strangers says how its scores
are to be read.
"""

from __future__ import annotations

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Vectors

__all__ = ["cohort_statistics", "subtract_mean"]

LEAST_SPREAD = 1e-5
"""standard deviation of cosines, below which it is float32's rounding"""
ROWS = 2048
"""vectors whose scores against the cohort are there at one time"""


def subtract_mean(vectors: Vectors, cohort: Vectors) -> Vectors:
    """Unit vectors (N, E) minus the mean of the cohort's unit vectors (K, E), at unit length.

    What all voices and channels of a domain have in common tells nothing about one of them.
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
        cohort: (K, E), of speakers in no trial; best one vector a speaker
        top_k: how many of the cohort count, 2 or more

    Raises DataError for a cohort of fewer than two vectors or without spread, ConfigError for a
    `top_k` that is no number of vectors in the cohort.
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
