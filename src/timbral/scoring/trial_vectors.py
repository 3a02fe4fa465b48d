"""The vectors of scored trials, and their cosines without nuisance directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.vectors import project_out
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.nuisance import nuisance_directions

__all__ = ["TrialVectors"]


@dataclass(frozen=True)
class TrialVectors:
    """Vectors of the R recordings of N trials."""

    vectors: Vectors
    """(R, E)"""
    speakers: Ints
    """(R,) speaker numbers"""
    first: Ints
    """(N,) rows of the recordings on one side"""
    second: Ints
    """(N,) likewise"""

    def nuisance(self, count: int, held_out: NDArray[np.bool_] | None = None) -> Vectors:
        """The first `count` nuisance directions (count, E), without recordings held out (R,).

        Raises DataError when too few recordings share a speaker.
        """
        if not count:
            return np.zeros((0, self.vectors.shape[1]), np.float32)
        kept = slice(None) if held_out is None else ~held_out
        _, codes = np.unique(self.speakers[kept], return_inverse=True)
        return nuisance_directions(self.vectors[kept], codes, count)

    def cosines(self, nuisance: Vectors) -> Floats:
        """The cosine of each trial (N,) without the directions (D, E)."""
        left = project_out(self.vectors, nuisance)
        products = left[self.first] * left[self.second]
        return np.asarray(products.sum(axis=1, dtype=np.float64))
