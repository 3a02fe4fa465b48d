"""Details that corpora have about speakers, such as gender and age, for the speakers' utterances.

If a file of such details is missing, or has unexpected lines, these are ignored, because the
recordings can be used without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from timbral.data.further_columns import Value
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError
from timbral.io.text import read_lines

__all__ = ["Details", "file_above", "lines_of", "with_details"]

Details = Mapping[str, Mapping[str, Value]]
"""values by column, by speaker"""
LEVELS_ABOVE = 3
"""how far above a folder to look for the file, as only part of a corpus may be read"""


def with_details(
    rows: Iterable[Utterance | AudioError], details: Details
) -> Iterator[Utterance | AudioError]:
    """The rows, with the details of their speakers."""
    for row in rows:
        if isinstance(row, Utterance) and row.speaker in details:
            yield replace(row, further={**details[row.speaker], **row.further})
        else:
            yield row


def file_above(root: Path, name: str) -> Path | None:
    """The file of that name in `root`, or in a folder above it; None when there is none."""
    absolute = root.absolute()
    for folder in (absolute, *absolute.parents[:LEVELS_ABOVE]):
        if (folder / name).is_file():
            return folder / name
    return None


def lines_of(path: Path | None) -> list[str]:
    """The lines of a file of details; empty if it does not exist or is not text."""
    if path is None:
        return []
    try:
        return [line for _, line in read_lines(path, "details of a corpus's speakers")]
    except DataError:
        return []
