"""Checks of paths, names and rates before torch is imported, which takes seconds."""

from __future__ import annotations

from pathlib import Path

from timbral.audio.nearby import hint_nearby
from timbral.audio.segments import Segment
from timbral.calibration.argument_checks import check_prior, check_rate, check_threshold
from timbral.errors import ConfigError, DataError
from timbral.io.near_names import beside
from timbral.io.storage import is_url

__all__ = [
    "check_channel",
    "check_config",
    "check_files",
    "check_folders",
    "check_question",
    "check_recordings",
]


def check_recordings(*paths: str | Path) -> None:
    """Raise DataError for a recording that does not exist or is a folder; not for URLs."""
    for path in map(str, paths):
        file = Segment.of(path).file
        if not is_url(file) and not Path(file).exists():
            raise DataError(f"{path}: no such file{hint_nearby(file) or beside(Path(file))}")
        if Path(file).is_dir():
            raise DataError(f"{path}: is a folder; give a recording inside it")


def check_channel(channel: str, *paths: str | Path) -> None:
    """As `timbral.audio.call_side.check_channel`, for a value of --channel."""
    if channel == "2":
        from timbral.audio import call_side  # imports numpy

        call_side.check_channel(2, [str(path) for path in paths])


def check_folders(*folders: str | Path | None) -> None:
    """Raise DataError for a folder or table that does not exist; None and URLs are skipped."""
    for folder in folders:
        if folder is not None and not is_url(folder) and not Path(folder).exists():
            raise DataError(f"{folder}: no such file or folder{beside(Path(folder))}")


def check_files(*files: str | Path | None) -> None:
    """Raise DataError for a file that does not exist; None and - (standard input) are skipped."""
    for file in files:
        if file is not None and str(file) != "-" and not Path(file).exists():
            raise DataError(f"{file}: no such file{beside(Path(file))}")


def check_question(threshold: float | None, false_accept: float | None, prior: float) -> None:
    """Raise ConfigError for a cosine threshold, rate or prior probability that is out of range."""
    check_threshold(threshold)
    check_prior(prior)
    if false_accept is not None:
        check_rate("false_accept", false_accept)


def check_config(config: str | Path | None) -> None:
    """Raise ConfigError for a config that is neither a file nor one that ships with timbral."""
    from timbral.config.named import find_config

    path = None if config is None else find_config(config)
    if path is not None and not path.exists():
        raise ConfigError(f"{path}: cannot be read (No such file or directory)")
