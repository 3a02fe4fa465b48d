"""Find the recordings of a list, which may name files, files without a suffix, or only ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePath

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.corpora.corpus_files import audio_files
from timbral.errors import DataError
from timbral.io.storage import is_url, location_below

__all__ = ["ListedFiles"]


class ListedFiles:
    """The recordings below a folder, by the names that lists use for them.

    A name with the suffix of an audio file, or of any existing file, is a path, relative to `root`
    or absolute. Other names are looked up among all recordings below `root`: as a path without its
    suffix, or as a file name without its suffix. URLs and ``/`` are not searched.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = root

    def locations(self, names: Sequence[str]) -> list[str]:
        """The absolute path or URL of each name.

        Raises DataError for a name that several recordings have.
        """
        return [self._location(name) for name in names]

    @property
    def is_everything(self) -> bool:
        """Whether `root` is the root of the file system, which takes too long to search."""
        return not is_url(self.root) and len(Path(self.root).resolve().parts) == 1

    @property
    def example(self) -> str:
        """The path of one recording, relative to `root`; empty if there is none."""
        paths = (found[0] for found in self._by_path.values())
        return min(paths, key=lambda path: path.count("/"), default="")

    def _location(self, name: str) -> str:
        location = location_below(self.root, name)
        if is_url(location) or "#" in name or PurePath(name).suffix.lower() in AUDIO_SUFFIXES:
            return location
        if Path(location).exists():
            return location
        found = self._by_path.get(name.removeprefix("./"), [])
        if not found and "/" not in name:
            found = self._by_name.get(name, [])
        if len(found) > 1:
            raise DataError(
                f"{name}: {len(found)} recordings below {self.root} have this name, such as "
                f"{found[0]} and {found[1]}; the list must give their paths below that folder"
            )
        return location_below(self.root, found[0]) if found else location

    @cached_property
    def _by_path(self) -> dict[str, list[str]]:
        """Paths relative to the root, by the path without its suffix."""
        if self.is_everything or is_url(self.root) or not Path(self.root).is_dir():
            return {}
        found: dict[str, list[str]] = {}
        for path in audio_files(Path(self.root), unreadable=[]):
            relative = path.relative_to(self.root)
            found.setdefault(relative.with_suffix("").as_posix(), []).append(relative.as_posix())
        return found

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Paths relative to the root, by the file name without its suffix."""
        found: dict[str, list[str]] = {}
        for stem, paths in self._by_path.items():
            found.setdefault(stem.rsplit("/", 1)[-1], []).extend(paths)
        return found
