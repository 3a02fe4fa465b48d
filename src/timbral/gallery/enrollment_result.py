"""The result of an enrollment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from timbral.errors import Refusal
from timbral.gallery.voices import EnrolledRecording, conditions_of

__all__ = ["Enrollment"]


@dataclass(frozen=True)
class Enrollment:
    """Which recordings of a voice were enrolled, and which were not."""

    name: str
    is_new: bool
    """whether the voice is new"""
    accepted: tuple[str, ...]
    """recordings that were enrolled"""
    refused: tuple[Refusal, ...]
    num_recordings: int
    """total number of recordings of the voice"""
    speech_seconds: float
    """total net speech of the voice"""
    warnings: tuple[str, ...] = ()
    """risks of the enrolled recordings, as text from `timbral check`, and remarks on those that are
    only a little like the voice's others, or computed in another precision than the gallery's"""

    @classmethod
    def of(
        cls,
        name: str,
        is_new: bool,
        accepted: Sequence[EnrolledRecording],
        refused: Sequence[Refusal],
        voice: Sequence[EnrolledRecording],
    ) -> Self:
        """The result for a voice that now has these recordings."""
        seconds = float(conditions_of(voice).together.speech_seconds[0])
        sources = tuple(each.source for each in accepted)
        return cls(name, is_new, sources, tuple(refused), len(voice), seconds)
