"""List the files of a tar archive and their positions, without unpacking."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.errors import AudioError

__all__ = ["TarMember", "tar_members"]

LARGEST_NOTE = 1_000_000
"""most bytes of a member that is read as text"""


@dataclass(frozen=True)
class TarMember:
    """A file in an archive."""

    archive: Path
    """absolute"""
    name: str
    offset: int
    """offset of its bytes in the archive"""
    size: int

    @property
    def recording(self) -> str:
        """The path of a recording that means its bytes."""
        return str(Segment(str(self.archive), within=(self.offset, self.size)))

    def text(self) -> str:
        """Its content; ValueError if that is not text, or very long."""
        if self.size > LARGEST_NOTE:
            raise ValueError(
                f"{self.name} has {self.size:,} bytes; at most {LARGEST_NOTE:,} are read"
            )
        with open(self.archive, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size).decode("utf-8-sig")


def tar_members(archive: Path) -> Iterator[TarMember | AudioError]:
    """The files of an archive in order; an AudioError where it cannot be read (further)."""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isreg():
                    yield TarMember(archive, member.name, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        reason = f"cannot be read as an uncompressed tar archive ({error})"
        yield AudioError(str(archive), reason, "unreadable")
