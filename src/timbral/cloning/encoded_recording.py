"""A recording as one encoder sees it: its vector, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timbral.audio.quality.measures import Quality
from timbral.io.types import Vectors

__all__ = ["EncodedRecording", "unit"]

SHIFT = 1e-12


@dataclass(frozen=True)
class EncodedRecording:
    """A recording's vector, and what was measured of it."""

    vector: Vectors
    """(E,), of unit length"""
    quality: Quality


def unit(vector: Vectors) -> Vectors:
    """The vector (E,) with unit length."""
    return np.asarray(vector / (np.linalg.norm(vector) + SHIFT))
