"""Typos in paths and names, found before torch is imported, which takes seconds."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.calibration.argument_checks import check_prior, check_rate, check_threshold
from timbral.errors import AudioError, ConfigError, DataError
from timbral.io.durations import duration
from timbral.io.near_names import beside
from timbral.io.storage import is_url

__all__ = [
    "announce_length",
    "check_config",
    "check_files",
    "check_folders",
    "check_question",
    "check_recordings",
    "clock_of",
]

LONG_SECONDS = 600.0
"""of audio, which take from ten seconds to minutes"""


def check_recordings(*paths: str | Path) -> None:
    """AudioError for a recording that is not there."""
    for path in map(str, paths):
        file = Segment.of(path).file
        if not is_url(file) and not Path(file).exists():
            raise AudioError(path, "no such file", "missing")


def announce_length(*paths: str | Path) -> float:
    """Say on standard error that recordings are long, before they are embedded without a word.

    Returns the seconds that their headers state, together.
    """
    from timbral.audio.decode import stated_seconds  # imports numpy

    stated = [stated_seconds(path) for path in map(str, paths) if not is_url(path)]
    seconds = sum(each for each in stated if each is not None)
    if seconds >= LONG_SECONDS:
        print(f"reading {duration(seconds)} of audio …", file=sys.stderr, flush=True)
    return seconds


def clock_of(seconds: float) -> AbstractContextManager[None]:
    """A clock on standard error while recordings of so many seconds are embedded, if they are long.

    Nothing may be printed meanwhile.
    """
    if seconds < LONG_SECONDS:
        return nullcontext()
    from timbral.io.progress import clock  # imports rich

    return clock("embedding")


def check_folders(*folders: str | Path | None) -> None:
    """DataError for a folder or table that is not there; None and URLs are passed over."""
    for folder in folders:
        if folder is not None and not is_url(folder) and not Path(folder).exists():
            raise DataError(f"{folder}: no such file or folder{beside(Path(folder))}")


def check_files(*files: str | Path | None) -> None:
    """DataError for a file that is not there; None and - (standard input) are passed over."""
    for file in files:
        if file is not None and str(file) != "-" and not Path(file).exists():
            raise DataError(f"{file}: no such file{beside(Path(file))}")


def check_question(threshold: float | None, false_accept: float | None, prior: float) -> None:
    """ConfigError for a cosine, a rate or a probability that there cannot be."""
    check_threshold(threshold)
    check_prior(prior)
    if false_accept is not None:
        check_rate("false_accept", false_accept)


def check_config(config: str | Path | None) -> None:
    """ConfigError for a config that is neither a file nor comes with timbral."""
    from timbral.config.named import find_config

    path = None if config is None else find_config(config)
    if path is not None and not path.exists():
        raise ConfigError(f"{path}: cannot be read (No such file or directory)")
