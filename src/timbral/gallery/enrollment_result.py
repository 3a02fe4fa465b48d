"""What an enrollment answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from timbral.errors import Refusal
from timbral.gallery.voices import EnrolledRecording, conditions_of

__all__ = ["Enrollment"]


@dataclass(frozen=True)
class Enrollment:
    """What was enrolled of a voice, and what was not."""

    name: str
    is_new: bool
    """whether the voice was not there before"""
    accepted: tuple[str, ...]
    """the recordings that were enrolled"""
    refused: tuple[Refusal, ...]
    num_recordings: int
    """of the voice, now"""
    speech_seconds: float
    """net, of the voice, now"""
    warnings: tuple[str, ...] = ()
    """what speaks against recordings that were enrolled, as `timbral check` says it"""

    @classmethod
    def of(
        cls,
        name: str,
        is_new: bool,
        accepted: Sequence[EnrolledRecording],
        refused: Sequence[Refusal],
        voice: Sequence[EnrolledRecording],
    ) -> Self:
        """Of a voice that now has these recordings."""
        seconds = float(conditions_of(voice).together.speech_seconds[0])
        sources = tuple(each.source for each in accepted)
        return cls(name, is_new, sources, tuple(refused), len(voice), seconds)
