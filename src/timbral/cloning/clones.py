"""What is compared: synthesized recordings, their references, and the real recordings beside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from timbral.errors import AudioError

__all__ = ["Clone", "CloneSet", "RealRecording", "unique"]

RECORDINGS_OF_A_SPEAKER = 10
"""at most, by which anchors are measured"""
Item = TypeVar("Item")
SPEAKERS = 300
"""at most, among which the nearest other one is looked for"""


@dataclass(frozen=True)
class Clone:
    """A synthesized recording, and whose voice it should have."""

    name: str
    """of the utterance; the same in all systems"""
    system: str
    synthesized: str
    """path or URL"""
    references: tuple[str, ...]
    """the prompt, or several recordings whose mean it is compared with"""
    speaker: str
    """of the references"""


@dataclass(frozen=True)
class RealRecording:
    """A recording of a known speaker, by which the anchors are measured."""

    path: str
    speaker: str
    session: str = ""


@dataclass(frozen=True)
class CloneSet:
    """All that is compared."""

    clones: tuple[Clone, ...]
    real: tuple[RealRecording, ...]
    """each once; all references are among them"""
    failures: tuple[AudioError, ...] = ()
    """what lists name and is not there"""
    notes: tuple[str, ...] = ()
    """what is not known, in words"""

    def bounded(self) -> CloneSet:
        """With no more real recordings than the anchors need; references stay."""
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
            kept += [*needed, *_evenly(rest, RECORDINGS_OF_A_SPEAKER)]
        return replace(self, real=tuple(kept))


def _evenly(items: list[Item], most: int) -> list[Item]:
    """At most so many, evenly spread."""
    step = max(1, -(-len(items) // most))
    return items[::step]


def unique(recordings: Iterable[RealRecording]) -> tuple[RealRecording, ...]:
    """Each path once, as it came first."""
    first: dict[str, RealRecording] = {}
    for each in recordings:
        first.setdefault(each.path, each)
    return tuple(first.values())
