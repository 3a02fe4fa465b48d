"""One speaker or two? Likelihoods of vectors under the two-covariance model.

A vector, of a window or a recording, is the location of its speaker, drawn with the covariance
between speakers, plus a deviation, drawn with the covariance within speakers (Brümmer and de
Villiers, The speaker partitioning problem, Odyssey 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.io.types import Floats

__all__ = ["MeanVector", "TwoCovariance"]

SHRINKAGE = 0.8
"""shrinkage of the covariance within speakers toward one that is equal in all directions; a few
thousand vectors need it"""
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class MeanVector:
    """Means (..., E) of vectors, on the model's axes, and the number of independent vectors."""

    mean: Floats
    count: Floats
    """(...)"""

    def with_(self, other: MeanVector) -> MeanVector:
        """The means of both together."""
        count = self.count + other.count
        weight = (self.count / count)[..., None]
        return MeanVector(weight * self.mean + (1 - weight) * other.mean, count)


@dataclass(frozen=True)
class TwoCovariance:
    """A model in axes in which the deviations within speakers have variance 1."""

    axes: Floats
    """(E, E), multiplies vectors"""
    speaker_variance: Floats
    """variance between speakers along each axis (E,)"""

    @classmethod
    def fit(cls, within: Floats, power: float, inverse_count: float = 1.0) -> TwoCovariance:
        """Fit to the covariance (E, E) within speakers, and the mean squared length of means.

        `inverse_count` is the average of 1 / n, for means of n vectors. What the covariance does
        not explain of that length is attributed to the speakers, equally in all directions, because
        a corpus may have fewer speakers than directions.
        """
        size = len(within)
        isotropic = max(float(np.trace(within)) / size, LEAST_VARIANCE)
        shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * isotropic * np.eye(size)
        variances, directions = np.linalg.eigh(shrunk)
        between = max(power / size - isotropic * inverse_count, LEAST_VARIANCE)
        return cls(directions / np.sqrt(variances), between / variances)

    def log_ratio(self, one: MeanVector, other: MeanVector) -> Floats:
        """Log-likelihood ratios (...): two speakers over one."""
        before = self.speaker_variance + 1 / one.count[..., None]
        precision = 1 / self.speaker_variance + other.count[..., None]
        expected = other.count[..., None] * other.mean / precision
        after = 1 / precision + 1 / one.count[..., None]
        ratio = (one.mean - expected) ** 2 / after - one.mean**2 / before
        return np.asarray(0.5 * (ratio + np.log(after / before)).sum(axis=-1))

    def expected_log_ratio(self, count: Floats, other_count: Floats) -> Floats:
        """The negative average of `log_ratio` for means of this many vectors of one speaker.

        This is the mutual information of the two means, in nats.
        """
        speaker = self.speaker_variance
        one, other = (speaker / (speaker + 1 / each[..., None]) for each in (count, other_count))
        return np.asarray(-0.5 * np.log1p(-one * other).sum(axis=-1))
