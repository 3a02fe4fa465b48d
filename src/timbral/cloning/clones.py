"""The recordings of a comparison: synthesized ones, their references, and further real ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from timbral.errors import AudioError

__all__ = ["Clone", "CloneSet", "RealRecording", "unique"]

Item = TypeVar("Item")
RECORDINGS_PER_SPEAKER = 10
"""maximum number of real recordings per speaker, besides references"""
SPEAKERS = 300
"""maximum number of speakers among which the nearest other one is searched"""


@dataclass(frozen=True)
class Clone:
    """A synthesized recording, and its references."""

    name: str
    """name of the utterance, the same in all systems"""
    system: str
    synthesized: str
    """path or URL"""
    references: tuple[str, ...]
    """the prompt, or several recordings whose mean is the reference"""
    speaker: str
    """speaker of the references"""


@dataclass(frozen=True)
class RealRecording:
    """A recording of a known speaker, for the anchors."""

    path: str
    speaker: str
    session: str = ""


@dataclass(frozen=True)
class CloneSet:
    """All recordings of a comparison."""

    clones: tuple[Clone, ...]
    real: tuple[RealRecording, ...]
    """each recording once; includes all references"""
    failures: tuple[AudioError, ...] = ()
    """recordings that lists contain but that do not exist"""
    notes: tuple[str, ...] = ()
    """remarks on what is unknown"""

    def bounded(self) -> CloneSet:
        """The same set with only as many real recordings as the anchors need, and all
        references.
        """
        references = {path for clone in self.clones for path in clone.references}
        speakers = {clone.speaker for clone in self.clones}
        of_speaker: dict[str, list[RealRecording]] = {}
        for recording in self.real:
            of_speaker.setdefault(recording.speaker, []).append(recording)
        others = _evenly(sorted(of_speaker.keys() - speakers), SPEAKERS)
        kept: list[RealRecording] = []
        for speaker in sorted(speakers.intersection(of_speaker)) + others:
            rows = of_speaker[speaker]
            needed = [row for row in rows if row.path in references]
            rest = [row for row in rows if row.path not in references]
            kept += [*needed, *_evenly(rest, RECORDINGS_PER_SPEAKER)]
        return replace(self, real=tuple(kept))


def _evenly(items: list[Item], most: int) -> list[Item]:
    """At most `most` items, evenly spread."""
    step = max(1, -(-len(items) // most))
    return items[::step]


def unique(recordings: Iterable[RealRecording]) -> tuple[RealRecording, ...]:
    """Each path once, in the order of first occurrence."""
    first: dict[str, RealRecording] = {}
    for each in recordings:
        first.setdefault(each.path, each)
    return tuple(first.values())
