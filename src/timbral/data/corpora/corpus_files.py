"""What every scan does with files: find recordings, name paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.prepared.marks import MARKS, prepared_format
from timbral.errors import DataError

__all__ = ["absolute_path", "audio_files"]


def audio_files(root: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every audio file below `root`, in sorted order; hidden ones not.

    Links are followed, except those that lead back to a folder that they lie in (`above`: the real
    paths of the folders on the way down). Prepared data below `root` is passed over: it is made of
    the recordings. Raises DataError for a folder that cannot be read.
    """
    real = os.path.realpath(root)
    if real in above:
        return
    try:
        with os.scandir(root) as unsorted:
            entries = sorted(unsorted, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{root}: the folder cannot be read ({error.strerror}); make it readable, or move it "
            "out of the corpus"
        ) from None
    if above and any(entry.name in MARKS for entry in entries) and _is_prepared(Path(root)):
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from audio_files(Path(entry.path), (*above, real))
        elif Path(entry.name).suffix.lower() in AUDIO_SUFFIXES:
            yield Path(entry.path)


def _is_prepared(folder: Path) -> bool:
    try:
        return prepared_format(folder) is not None
    except DataError:  # it has another tool's file of that name
        return False


def absolute_path(path: Path) -> str:
    """The path of a recording as `Utterance.path` has it; links stay."""
    return Path(os.path.abspath(path)).as_posix()
