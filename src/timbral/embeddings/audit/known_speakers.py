"""Whose voice is it, among all speakers of a corpus?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["KnownSpeakers"]


@dataclass(frozen=True)
class _Alike:
    """Speakers (G) of whom equally much is known."""

    codes: Ints
    """their numbers among all speakers"""
    expected: Vectors
    """where their next vectors are expected, on the model's axes (G, E)"""
    variance: Floats
    """of their places around that, along each axis (E,)"""


@dataclass(frozen=True)
class KnownSpeakers:
    """The speakers (S) of a corpus, compared with many vectors at once."""

    model: TwoCovariance
    groups: list[_Alike]

    @classmethod
    def of(cls, model: TwoCovariance, means: Floats, counts: Ints) -> KnownSpeakers:
        """From each speaker's mean (S, E) and how many independent vectors it is worth (S,)."""
        groups = []
        for count in np.unique(counts[counts > 0]).tolist():
            codes = np.flatnonzero(counts == count)
            precision = 1 / model.speaker_variance + count
            scaled = model.axes * (count / precision)
            groups.append(_Alike(codes, (means[codes] @ scaled).astype(np.float32), 1 / precision))
        return cls(model, groups)

    def anybody(self, vectors: MeanVector, own: Ints, known: float) -> Floats:
        """Log ratios (K,): vectors of anybody but the speakers `own` (K,), who is one of the
        corpus with probability `known` in (0, 1), each as probably as the other, over a stranger's.
        """
        number = sum(len(group.codes) for group in self.groups) - 1
        total = np.full(len(own), np.log(1 - known))
        if number < 1:
            return total
        for group in self.groups:
            ratios = self._log_ratios(vectors, group)
            ratios[own[:, None] == group.codes] = -np.inf
            most = np.maximum(ratios.max(axis=1), -1e9)
            sums = np.exp(ratios - most[:, None]).sum(axis=1)
            mean = np.log(np.maximum(sums, 1e-300) / number) + most
            total = np.logaddexp(total, np.log(known) + mean)
        return total

    def _log_ratios(self, vectors: MeanVector, group: _Alike) -> Floats:
        """Of each vector (K, G): of the speaker of a group, over a stranger's."""
        noise = 1 / vectors.count[:, None]
        stranger = self.model.speaker_variance + noise
        speaker = group.variance + noise
        alone = vectors.mean**2 * (1 / stranger - 1 / speaker) + np.log(stranger / speaker)
        inverse = (1 / speaker).astype(np.float32)
        scaled = (vectors.mean / speaker).astype(np.float32)
        together = 2 * scaled @ group.expected.T - inverse @ np.square(group.expected).T
        return np.asarray(0.5 * (alone.sum(axis=1)[:, None] + together))
