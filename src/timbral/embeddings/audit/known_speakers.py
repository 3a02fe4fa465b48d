"""Whose voice is it, among all speakers of a corpus?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["KnownSpeakers"]

MOST_RATIOS = 1 << 21
"""of vectors and speakers, held at once"""
NODES = 16
"""between which functions of a vector's noise are interpolated"""
LEAST_RATIO = np.float32(-1e9)


@dataclass(frozen=True)
class _Alike:
    """Speakers (G) of whom equally much is known."""

    codes: Ints
    """their numbers among all speakers"""
    columns: Ints
    """the place in `codes` of each of all speakers, or -1 (S,)"""
    variance: Floats
    """of their next vectors' places around where these are expected, along each axis (E,)"""
    factors: Vectors
    """what a vector is multiplied with, (E + D, G): expected places, and -½ Σ place² / variance at
    each node"""


@dataclass(frozen=True)
class KnownSpeakers:
    """The speakers (S) of a corpus, compared with many vectors at once."""

    model: TwoCovariance
    groups: list[_Alike]
    noises: tuple[float, float]

    @classmethod
    def of(
        cls, model: TwoCovariance, means: Floats, counts: Ints, noises: tuple[float, float]
    ) -> KnownSpeakers:
        """From each speaker's mean (S, E) and how many independent vectors it is worth (S,).

        `noises` are the least and the greatest 1 / count of vectors that will be compared.
        """
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
            groups.append(_Alike(codes, columns, variance, factors))
        return cls(model, groups, noises)

    def anybody(self, vectors: MeanVector, own: Ints, known: float) -> Floats:
        """Log ratios (K,): vectors of anybody but the speakers `own` (K,), who is one of the
        corpus with probability `known` in (0, 1), each as probably as the other, over a stranger's.
        """
        number = sum(len(group.codes) for group in self.groups) - 1
        total = np.full(len(own), np.log(1 - known))
        if number < 1:
            return total
        for group in self.groups:
            mean = self._log_sums(vectors, own, group) - np.log(number)
            total = np.logaddexp(total, np.log(known) + mean)
        return total

    def _log_sums(self, vectors: MeanVector, own: Ints, group: _Alike) -> Floats:
        """Logarithms (K,) of each vector's likelihood ratios of a speaker over a stranger, summed
        over a group without the own one; minus infinity where nobody is left.

        With x the vector, m where a speaker's is expected with variance v, and s a stranger's
        variance: ½ Σ x²/s - (x - m)²/v + log s/v over the axes.
        """
        noise = 1 / vectors.count[:, None]
        stranger = self.model.speaker_variance + noise
        speaker = group.variance + noise
        alone = vectors.mean**2 * (1 / stranger - 1 / speaker) + np.log(stranger / speaker)
        weights = _interpolation(noise[:, 0], self.noises)
        factors = np.hstack([vectors.mean / speaker, weights]).astype(np.float32)
        sums = 0.5 * alone.sum(axis=1)
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
    """Weights (K, D) that make a function's values for `noise` (K,) of those at the nodes.

    For 1 / (variance + noise) that is exact to 1e-9 where the greatest noise is thirty times the
    least, and to 1e-6 where it is a thousand times: its poles are π away on that scale.
    """
    low, high = np.log(noises)
    places = (2 * np.log(noise) - low - high) / max(high - low, 1e-9)
    at_nodes = chebyshev.chebvander(_unit_nodes(), NODES - 1)
    return np.asarray(chebyshev.chebvander(places, NODES - 1) @ np.linalg.inv(at_nodes))


def _log_sum(ratios: Vectors) -> Vectors:
    """Logarithms of the sums (K,) of the exponentials of ratios (K, G), which are overwritten."""
    most = np.maximum(ratios.max(axis=1), LEAST_RATIO)
    ratios -= most[:, None]
    np.exp(ratios, out=ratios)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(ratios.sum(axis=1)) + most)
