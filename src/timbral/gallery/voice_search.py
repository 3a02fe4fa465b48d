"""The likeliest of enrolled voices: by cosine first, then by what the cosines are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timbral.calibration.conditions import Conditions
from timbral.gallery.evidence import Evidence
from timbral.gallery.voice_matrix import exact_search
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["Voices"]

LISTED = 256
"""voices nearest by cosine, whose llr is computed: conditions move others by less than these"""


@dataclass(frozen=True)
class Voices:
    """N voices as they are at one moment, and what cosines with them are worth."""

    names: Sequence[str]
    vectors: Vectors
    """(N, E), of unit length"""
    conditions: Conditions
    """(N,)"""
    evidence: Evidence

    @property
    def count(self) -> int:
        return len(self.names)

    def likeliest(self, vectors: Vectors, conditions: Conditions) -> tuple[Ints, Vectors, Floats]:
        """Of unit vectors (Q, E) the rows, cosines and llrs (Q, K) of the likeliest, best first.

        K is the smaller of N and `LISTED`.
        """
        rows, cosines = exact_search(self.vectors, vectors, LISTED)
        searched = conditions.rows(np.repeat(np.arange(len(vectors)), rows.shape[1]))
        llrs = self._llrs(cosines.ravel(), rows.ravel(), searched).reshape(rows.shape)
        order = np.argsort(-llrs, axis=1, kind="stable")
        return tuple(np.take_along_axis(each, order, 1) for each in (rows, cosines, llrs))  # type: ignore[return-value]

    def best(self, vectors: Vectors, conditions: Conditions, exclude: Ints | None = None) -> Floats:
        """The highest llr (Q,) among the voices, for each but the voice of its row in `exclude`."""
        rows, _, llrs = self.likeliest(vectors, conditions)
        if exclude is not None:
            llrs = np.where(rows == exclude[:, None], -np.inf, llrs)
        return np.asarray(llrs.max(axis=1))

    def _llrs(self, cosines: Vectors, rows: Ints, searched: Conditions) -> Floats:
        return self.evidence.llr(cosines.astype(np.float64), self.conditions.rows(rows), searched)
