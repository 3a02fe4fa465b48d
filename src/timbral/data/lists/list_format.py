"""The definition of a list format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.data.corpora.corpus import Corpus
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError, DataError
from timbral.io.outputs import FileKind

__all__ = ["OTHER_OUTPUTS", "Failure", "ListFormat", "check_as_recorded", "failure_of"]

Failure = dict[str, str]
"""a line of failures.jsonl: path, reason and kind, and the utterance if there is one"""
OTHER_OUTPUTS = (
    "write a table (parquet, csv, tsv, jsonl), or the audio itself (`prepare`, format flac)"
)


@dataclass(frozen=True)
class ListFormat:
    """A format of lists of utterances for other tools."""

    write: Callable[[Manifest, Path], Sequence[Failure]]
    """(utterances, output) -> failures: the utterances that could not be written"""
    is_text: bool = False
    """a single text file, which may go to standard output"""
    layout: Corpus | None = None
    """how a folder of this format is read as a corpus; None: it is a file, or is not read"""
    kind: FileKind | None = None
    """kind of a file that is recognized by columns of its own; None: the columns of a table"""


def failure_of(row: Utterance, error: AudioError) -> Failure:
    """The failure of an utterance, whose path may be a segment of the unreadable file."""
    return {"utterance": row.utterance, **error.as_dict(), "path": row.path}


def check_as_recorded(rows: Iterable[Utterance], what: str) -> None:
    """Raise DataError for an utterance that is not a file or seconds of it, as recorded.

    what: the list that cannot express anything else, for the error.
    """
    for row in rows:
        if not Segment.of(row.path).is_as_recorded:
            raise DataError(
                f"{row.path}: {what} cannot express one channel, another rate, speed or level, or "
                f"a recording inside another file; {OTHER_OUTPUTS}"
            )
