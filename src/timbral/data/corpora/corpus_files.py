"""Find recordings and name their paths, for all scans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.prepared.marks import MARKS, prepared_format
from timbral.errors import AudioError, DataError

__all__ = ["absolute_path", "audio_files"]

MAKE_IT_READABLE = "make it readable, or move it out of the corpus"


def audio_files(
    root: Path, unreadable: list[AudioError] | None = None, above: tuple[str, ...] = ()
) -> Iterator[Path]:
    """Every audio file below `root`, in sorted order, without hidden ones.

    Links are followed, except those to a folder that contains them (`above`: the real paths of the
    folders on the way down). Prepared data below `root` is skipped, because it was made from the
    recordings. A folder below `root` that cannot be read is added to `unreadable`; raises DataError
    for `root` itself, and for any folder if `unreadable` is None.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    entries = _entries(root, unreadable if above else None)
    if above and any(entry.name in MARKS for entry in entries) and _is_prepared(Path(root)):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from audio_files(Path(entry.path), unreadable, (*above, real))
        elif Path(entry.name).suffix.lower() in AUDIO_SUFFIXES:
            yield Path(entry.path)


def _entries(root: Path, unreadable: list[AudioError] | None) -> list[os.DirEntry[str]]:
    """The entries of a folder by name; none if it is added to `unreadable`."""
    try:
        with os.scandir(root) as unsorted:
            return sorted(unsorted, key=lambda entry: entry.name)
    except OSError as error:
        why = f"the folder cannot be read ({error.strerror}); {MAKE_IT_READABLE}"
        if unreadable is None:
            raise DataError(f"{root}: {why}") from None
        unreadable.append(AudioError(absolute_path(root), why, "unreadable"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a forbidden folder; reading it reports that
        return False


def _is_prepared(folder: Path) -> bool:
    try:
        return prepared_format(folder) is not None
    except DataError:  # it has another tool's file of that name
        return False


def absolute_path(path: Path) -> str:
    """The path of a recording for `Utterance.path`; links are not resolved."""
    return Path(os.path.abspath(path)).as_posix()
