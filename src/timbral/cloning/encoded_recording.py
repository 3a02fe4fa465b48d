"""A recording as one encoder sees it: its vector, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.audio.quality.measures import Quality
from timbral.io.types import Vectors

__all__ = ["EncodedRecording"]


@dataclass(frozen=True)
class EncodedRecording:
    """A recording's vector, and what was measured of it."""

    vector: Vectors
    """(E,), of unit length"""
    quality: Quality
