"""A way to read a corpus, with the speakers that it gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc

from timbral.data.manifest import Manifest

__all__ = ["FIRST_SPEAKERS", "Reading", "describe_readings", "describe_speakers"]

FIRST_SPEAKERS = 4
"""number of speakers to name"""


@dataclass(frozen=True)
class Reading:
    """A layout and the utterances that it gives."""

    layout: str
    rows: Manifest

    @cached_property
    def speaker_ids(self) -> list[str]:
        """Ids of the speakers, sorted."""
        return speaker_ids(self.rows)

    def speaker_of_path(self) -> dict[str, str]:
        """The speaker of each recording, by path."""
        paths, speakers = (self.rows.table[name].to_pylist() for name in ("path", "speaker"))
        return dict(zip(paths, speakers, strict=True))


def speaker_ids(rows: Manifest) -> list[str]:
    """The speakers, in sorted order."""
    return sorted(pc.unique(rows.table["speaker"]).to_pylist())


def describe_speakers(rows: Manifest) -> str:
    """A text such as ``4 speakers: p225, p226, p227, p228``, with only the first of many."""
    ids = speaker_ids(rows)
    named = ", ".join(ids[:FIRST_SPEAKERS]) + (", …" if len(ids) > FIRST_SPEAKERS else "")
    return f"{len(ids):,} speaker{'' if len(ids) == 1 else 's'}: {named}"


def describe_readings(readings: Iterable[Reading]) -> str:
    """One line per reading: its layout and the first speakers."""
    lines = [(reading.layout, describe_speakers(reading.rows)) for reading in readings]
    width = max(len(layout) for layout, _ in lines)
    return "\n".join(f"  {layout:{width}}  {speakers}" for layout, speakers in lines)
