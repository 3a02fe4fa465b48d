"""Compare vectors with all speakers of a corpus, under the two-covariance model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["KnownSpeakers"]

MOST_RATIOS = 1 << 21
"""ratios of vectors and speakers that are in memory at once"""
NODES = 16
"""number of nodes for the interpolation of functions of a vector's noise"""
LEAST_RATIO = np.float32(-1e9)


@dataclass(frozen=True)
class _SpeakerGroup:
    """Speakers (G) with the same number of vectors."""

    codes: Ints
    """their codes (G,)"""
    columns: Ints
    """the index in `codes` of each speaker of the corpus, or -1 (S,)"""
    variance: Floats
    """predictive variance of their location along each axis (E,)"""
    factors: Vectors
    """matrix (E + D, G) that multiplies vectors: expected locations m, and -½ Σ m² / variance at
    each node"""


@dataclass(frozen=True)
class KnownSpeakers:
    """The speakers (S) of a corpus, to be compared with many vectors at once."""

    model: TwoCovariance
    groups: list[_SpeakerGroup]
    noises: tuple[float, float]
    """lowest and highest 1 / count of the vectors to compare"""

    @classmethod
    def of(
        cls, model: TwoCovariance, means: Floats, counts: Ints, noises: tuple[float, float]
    ) -> KnownSpeakers:
        """From each speaker's mean (S, E) and number of independent vectors (S,)."""
        groups = []
        nodes = _nodes(noises)[:, None]
        for count in np.unique(counts[counts > 0]).tolist():
            codes = np.flatnonzero(counts == count)
            columns = np.full(len(counts), -1)
            columns[codes] = np.arange(len(codes))
            precision = 1 / model.speaker_variance + count
            variance = 1 / precision
            expected = (means[codes] @ (model.axes * (count * variance))).astype(np.float32)
            squares = -0.5 / (variance + nodes) @ np.square(expected).T
            factors = np.vstack([expected.T, squares.astype(np.float32)])
            groups.append(_SpeakerGroup(codes, columns, variance, factors))
        return cls(model, groups, noises)

    def anybody(self, vectors: MeanVector, own: Ints, known: float) -> Floats:
        """Log-likelihood ratios (K,): any speaker but `own` (K,) over an unknown one.

        With probability `known`, in (0, 1), that speaker is one of the corpus, all equally
        probable.
        """
        number = sum(len(group.codes) for group in self.groups) - 1
        total = np.full(len(own), np.log(1 - known))
        if number < 1:
            return total
        for group in self.groups:
            mean = self._log_sums(vectors, own, group) - np.log(number)
            total = np.logaddexp(total, np.log(known) + mean)
        return total

    def _log_sums(self, vectors: MeanVector, own: Ints, group: _SpeakerGroup) -> Floats:
        """Logarithms (K,) of each vector's likelihood ratios of a speaker over an unknown one,
        summed over a group without the own speaker; -inf if it has no other.

        With x the vector, m and v the mean and variance that predict it for a speaker, and s the
        variance for an unknown speaker, the ratio is ½ Σ x²/s - (x - m)²/v + log s/v over the axes.
        """
        noise = 1 / vectors.count[:, None]
        unknown = self.model.speaker_variance + noise
        speaker = group.variance + noise
        constant = vectors.mean**2 * (1 / unknown - 1 / speaker) + np.log(unknown / speaker)
        weights = _interpolation(noise[:, 0], self.noises)
        factors = np.hstack([vectors.mean / speaker, weights]).astype(np.float32)
        sums = 0.5 * constant.sum(axis=1)
        size = max(1, MOST_RATIOS // len(group.codes))
        for start in range(0, len(own), size):
            rows = slice(start, start + size)
            ratios = factors[rows] @ group.factors
            columns = group.columns[own[rows]]
            ratios[np.flatnonzero(columns >= 0), columns[columns >= 0]] = -np.inf
            sums[rows] += _log_sum(ratios)
        return np.asarray(sums)


def _nodes(noises: tuple[float, float]) -> Floats:
    """Chebyshev nodes (D,), on a logarithmic scale."""
    low, high = np.log(noises)
    return np.asarray(np.exp((low + high) / 2 + (high - low) / 2 * _unit_nodes()))


def _unit_nodes() -> Floats:
    return np.asarray(np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES))


def _interpolation(noise: Floats, noises: tuple[float, float]) -> Floats:
    """Weights (K, D) for the interpolation of a function at `noise` (K,) from its values at nodes.

    For 1 / (variance + noise) the error is 1e-9 if the highest noise is thirty times the lowest,
    and 1e-6 if it is a thousand times, because the poles are π away on that scale.
    """
    low, high = np.log(noises)
    positions = (2 * np.log(noise) - low - high) / max(high - low, 1e-9)
    at_nodes = chebyshev.chebvander(_unit_nodes(), NODES - 1)
    return np.asarray(chebyshev.chebvander(positions, NODES - 1) @ np.linalg.inv(at_nodes))


def _log_sum(ratios: Vectors) -> Vectors:
    """The log-sum-exp (K,) of ratios (K, G), which are overwritten."""
    most = np.maximum(ratios.max(axis=1), LEAST_RATIO)
    ratios -= most[:, None]
    np.exp(ratios, out=ratios)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(ratios.sum(axis=1)) + most)
