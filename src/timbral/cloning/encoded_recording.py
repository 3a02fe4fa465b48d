"""A recording's vector from one encoder, and its measures."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.audio.quality.measures import Quality
from timbral.io.types import Vectors

__all__ = ["EncodedRecording"]


@dataclass(frozen=True)
class EncodedRecording:
    """A recording's vector, and its measures."""

    vector: Vectors
    """(E,), of unit length"""
    quality: Quality
