"""Resolve the locations of recordings in lists: paths and URLs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from timbral.io.storage import is_url

__all__ = ["FILE_URL", "WINDOWS_PATH", "listed_path", "path_of_file_url"]

FILE_URL = r"(?i)^file:"
WINDOWS_PATH = r"^([A-Za-z]:[\\/]|\\\\)"
"""a drive or a network share; pattern for re and for pyarrow"""


def path_of_file_url(url: str) -> str:
    """``file:///a%20b.wav`` as ``/a b.wav`` (RFC 8089); ValueError when it is of another host."""
    match = re.fullmatch(r"(?i)file:(?://(?:localhost)?)?(/.*)", url)
    if match is None or match[1].startswith("//"):
        raise ValueError(f"{url!r} is not a file on this machine; write file:///FOLDER/FILE")
    return unquote(match[1])


def listed_path(location: str, root: Path) -> str:
    """The absolute path or the URL that a list in the folder `root` means.

    Relative paths are below `root`, or else, as tools that read the list where they are started
    take them, below the working folder. Raises ValueError, with the remedy, for Windows' paths.
    """
    if re.match(WINDOWS_PATH, location):
        raise ValueError(
            f"{location!r} is a Windows path; write paths of this machine, with / as separator"
        )
    if re.match(FILE_URL, location):
        return path_of_file_url(location)
    if is_url(location):
        return location
    below = root / location
    path = below if below.exists() or not Path(location).exists() else Path(location)
    return Path(os.path.abspath(path)).as_posix()
