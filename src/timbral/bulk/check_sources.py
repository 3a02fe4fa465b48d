"""The recordings of what `check` is given: single ones, folders and tables."""

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
"""the layout of a folder in which no other is recognized"""


def recordings_of(sources: Iterable[str | Path], layout: str) -> tuple[list[str], list[AudioError]]:
    """Paths of recordings, and what of the corpora cannot be used; DataError as `find_utterances`.

    A source is a corpus where it is a folder, or a table by its suffix; else a recording. Of a
    folder without a layout that says more, all recordings are taken: nobody asks who speaks.
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
    suffix = PurePosixPath(Segment.of(source).file).suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return True
    return suffix not in AUDIO_SUFFIXES if is_url(source) else Path(source).is_dir()
