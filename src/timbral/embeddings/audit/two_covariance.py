"""One speaker or two? Likelihoods of vectors under the two-covariance model.

A vector, of a window or of a recording, is its speaker's place, drawn with the covariance between
speakers, plus what differs from one vector to the next (Brümmer and de Villiers, The speaker
partitioning problem, Odyssey 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.io.types import Floats

__all__ = ["MeanVector", "TwoCovariance"]

SHRINKAGE = 0.8
"""of the covariance within speakers toward one that is alike in all directions, which a few
thousand vectors need"""
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class MeanVector:
    """Means (..., E) of vectors, on the model's axes, and how many independent ones each is of."""

    mean: Floats
    count: Floats
    """(...)"""

    def with_(self, other: MeanVector) -> MeanVector:
        """Both together."""
        count = self.count + other.count
        weight = (self.count / count)[..., None]
        return MeanVector(weight * self.mean + (1 - weight) * other.mean, count)


@dataclass(frozen=True)
class TwoCovariance:
    """The axes on which what differs between vectors of a speaker has variance 1."""

    axes: Floats
    """(E, E), to multiply vectors with"""
    speaker_variance: Floats
    """of speakers, along each axis (E,)"""

    @classmethod
    def fit(cls, within: Floats, power: float, inverse_count: float = 1.0) -> TwoCovariance:
        """From the covariance (E, E) of vectors around their speaker's place, and the mean of their
        squared lengths, which are of means of so many vectors: `inverse_count` is that of 1 / n.

        What the former does not explain is taken to be the speakers', alike in all directions: a
        corpus may have fewer speakers than directions.
        """
        size = len(within)
        alike = max(float(np.trace(within)) / size, LEAST_VARIANCE)
        shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * alike * np.eye(size)
        variances, directions = np.linalg.eigh(shrunk)
        between = max(power / size - alike * inverse_count, LEAST_VARIANCE)
        return cls(directions / np.sqrt(variances), between / variances)

    def log_ratio(self, one: MeanVector, other: MeanVector) -> Floats:
        """Log likelihood ratios (...): of two speakers, over those of one."""
        before = self.speaker_variance + 1 / one.count[..., None]
        precision = 1 / self.speaker_variance + other.count[..., None]
        expected = other.count[..., None] * other.mean / precision
        after = 1 / precision + 1 / one.count[..., None]
        ratio = (one.mean - expected) ** 2 / after - one.mean**2 / before
        return np.asarray(0.5 * (ratio + np.log(after / before)).sum(axis=-1))

    def expected_log_ratio(self, count: Floats, other_count: Floats) -> Floats:
        """What `log_ratio` is on average where means of so many vectors (...) are of one speaker,
        with the sign turned: the mutual information of the two means, in nats.
        """
        speaker = self.speaker_variance
        one, other = (speaker / (speaker + 1 / each[..., None]) for each in (count, other_count))
        return np.asarray(-0.5 * np.log1p(-one * other).sum(axis=-1))
