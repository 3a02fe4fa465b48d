"""The audio of a large map: files in a folder next to the page."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from urllib.parse import quote

from timbral.errors import DataError
from timbral.io.files import atomic_write

__all__ = ["ClipFolder"]

DIGITS = 32
"""hexadecimal digits of a clip's SHA-256 in its file name"""


class ClipFolder:
    """The folder MAP-sound next to MAP.html: a file for each clip, named by its content.

    An earlier page keeps its audio until the new page is written; then `remove_others` is called.
    """

    def __init__(self, page: Path) -> None:
        self.folder = page.with_name(f"{page.stem}-sound")
        self._kept: set[str] = set()

    def claim(self) -> None:
        """Raise DataError if the folder is a file, or contains anything but clips of a map."""
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(
                f"{self.folder}: is a file, but the folder with the map's audio must "
                "be here; move it away"
            )
        if others := [path for path in self._files() if not _is_clip(path)]:
            raise DataError(
                f"{self.folder}: contains {others[0].name}, which no map wrote, but the map's "
                "audio must be here; choose another `output`"
            )

    def keep(self, base64_mp3: str) -> str:
        """Write a clip; returns its address, relative to the page."""
        content = base64.b64decode(base64_mp3)
        name = f"{hashlib.sha256(content).hexdigest()[:DIGITS]}.mp3"
        path = self.folder / name
        if name not in self._kept and not path.exists():
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
        self._kept.add(name)
        return f"{quote(self.folder.name)}/{name}"

    def remove_others(self) -> None:
        """Delete the clips of earlier pages."""
        for path in self._files():
            if _is_clip(path) and path.name not in self._kept:
                path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []


def _is_clip(path: Path) -> bool:
    """Whether a file is named like a clip, or like one that a killed job was writing."""
    name = path.name.lstrip(".").partition(".")
    return len(name[0]) == DIGITS and name[2].startswith("mp3") and path.is_file()
