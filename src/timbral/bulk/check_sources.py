"""The recordings in the sources of `check`: single recordings, folders and tables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.audio.segments import Segment
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.sources import find_utterances, layout_of
from timbral.data.text_columns import TABLE_SUFFIXES
from timbral.errors import AudioError
from timbral.io.storage import is_url

__all__ = ["recordings_of"]

PLAIN = "folder"
"""the layout of folders in which no other layout is recognized"""


def recordings_of(sources: Iterable[str | Path], layout: str) -> tuple[list[str], list[AudioError]]:
    """The paths of all recordings, and the unusable ones of corpora.

    A source that is a folder, or has the suffix of a table, is a corpus; any other is a recording.
    In a folder without a recognized layout, all recordings are taken, because speakers do not
    matter. Raises the errors of `find_utterances`.
    """
    paths: list[str] = []
    failures: list[AudioError] = []
    for source in map(str, sources):
        if not _is_corpus(source):
            paths.append(source)
            continue
        plain = Path(source).is_dir() and layout_of(source, layout) == PLAIN
        if plain:
            files = [str(path) for path in audio_files(Path(source), failures)]
            paths += files
        if plain and files:
            continue
        utterances = find_utterances(source, layout)
        paths += utterances.table["path"].to_pylist()
        failures += utterances.failures
    return paths, failures


def _is_corpus(source: str) -> bool:
    """Whether a source is a corpus, not a single recording."""
    suffix = PurePosixPath(Segment.of(source).file).suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return True
    return suffix not in AUDIO_SUFFIXES if is_url(source) else Path(source).is_dir()
