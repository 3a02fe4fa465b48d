"""Whether the file of a recording is the one that it was."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from timbral.audio.segments import Segment
from timbral.io.files import file_sha256

__all__ = ["FileState", "file_size", "file_stamp"]

NO_FILE = -2
"""bytes of a file whose state is not known"""
REMEMBERED_FILES = 1024
"""digests that are kept: the segments of a long recording come one after another"""


def file_stamp(path: str) -> tuple[int, int]:
    """Bytes of the whole file of a recording, and when it was written, in ns since 1970.

    -1 and 0 where it is missing or not on a disk, and of pipes and devices: these are not opened.
    """
    try:
        status = Path(Segment.of(path).file).stat()
    except (OSError, ValueError):
        return -1, 0
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (-1, 0)


def file_size(path: str) -> int:
    """Bytes of the whole file of a recording; -1 where it is missing or not on a disk."""
    return file_stamp(path)[0]


@dataclass(frozen=True)
class FileState:
    """A file's size, time and content."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: str, read_at: tuple[int, int] | None = None) -> Self:
        """The state of the file of a recording; its content is read.

        `read_at` is the stamp that the file had before something was made of it: where it is
        another now, the state is that of no file, for which of the two was used is not known.
        """
        size, mtime_ns = file_stamp(path)
        if read_at not in (None, (size, mtime_ns)):
            return cls(NO_FILE, 0, "")
        return cls(size, mtime_ns, _digest(Segment.of(path).file, size, mtime_ns))

    def is_of(self, path: str) -> bool:
        """Whether the file of a recording is in this state; its content decides when its time does
        not: it may have been copied or touched."""
        stamp = file_stamp(path)
        if stamp == (self.size, self.mtime_ns):
            return True
        return stamp[0] == self.size and _digest(Segment.of(path).file, *stamp) == self.sha256


@lru_cache(maxsize=REMEMBERED_FILES)
def _digest(file: str, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file that has that size and time; empty when it is not on a disk."""
    try:
        return file_sha256(Path(file)) if size >= 0 else ""
    except OSError:
        return ""
