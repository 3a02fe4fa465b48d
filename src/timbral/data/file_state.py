"""Detect changed files of recordings."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

from timbral.audio.segments import Segment
from timbral.io.files import file_sha256

__all__ = ["FileState", "content_name", "file_size", "file_stamp", "written_ns"]

NO_FILE = -2
"""size that stands for an unknown state, which no file is in"""
REMEMBERED_FILES = 1024
"""digests kept in memory, because segments of the same long recording follow each other"""


def file_stamp(path: str) -> tuple[int, int]:
    """Size in bytes of a recording's file, and the time of its last change, in ns since 1970.

    The time is that of the inode (ctime): unlike the modification time it cannot be set, so it
    differs even for another file of the same size and modification time (`cp -p`).

    -1 and 0 for a missing file, one that is not on a disk, and for pipes and devices, which are not
    opened.
    """
    status = _status(path)
    return (-1, 0) if status is None else (status.st_size, status.st_ctime_ns)


def content_name(path: str) -> str:
    """The part of a recording's path that affects how it is decoded: suffix, and segment.

    ``.wav#t=1,2`` of ``/a/b.wav#t=1,2``: two paths with the same content and this part give the
    same vector.
    """
    file = Segment.of(path).file
    return f"{Path(file).suffix.lower()}{path[len(file) :]}"


def written_ns(path: str) -> int:
    """Modification time of a recording's file in ns since 1970; 0 as for `file_stamp`."""
    status = _status(path)
    return 0 if status is None else status.st_mtime_ns


def _status(path: str) -> os.stat_result | None:
    try:
        status = Path(Segment.of(path).file).stat()
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def file_size(path: str) -> int:
    """Size in bytes of a recording's file; -1 if it is missing or not on a disk."""
    return file_stamp(path)[0]


@dataclass(frozen=True)
class FileState:
    """A file's size, time and content."""

    size: int
    changed_ns: int
    sha256: str

    @property
    def stamp(self) -> tuple[int, int]:
        """The size and time as from `file_stamp`."""
        return self.size, self.changed_ns

    @classmethod
    def of(cls, path: str, read_at: tuple[int, int] | None = None) -> Self:
        """The state of the file of a recording; its content is read.

        `read_at` is the stamp of the file before it was used. If the stamp has changed, the state
        is that of no file, because it is unknown which version was used.
        """
        size, changed_ns = file_stamp(path)
        if read_at not in (None, (size, changed_ns)):
            return cls(NO_FILE, 0, "")
        return cls(size, changed_ns, _digest(Segment.of(path).file, size, changed_ns))

    def is_of(self, path: str) -> bool:
        """Whether a recording's file is in this state.

        If only its time differs, its content decides, as it may have been copied, moved or touched.
        """
        stamp = file_stamp(path)
        if stamp == self.stamp:
            return True
        return stamp[0] == self.size and _digest(Segment.of(path).file, *stamp) == self.sha256


@lru_cache(maxsize=REMEMBERED_FILES)
def _digest(file: str, size: int, changed_ns: int) -> str:
    """SHA-256 of a file with this size and time; empty if it is not on a disk."""
    try:
        return file_sha256(Path(file)) if size >= 0 else ""
    except OSError:
        return ""
