"""Folders on disk or in an object store (s3://, gs://, and others of fsspec).

pyarrow reads the stores; it is imported only for a URL.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from timbral.errors import DataError, MissingExtraError
from timbral.io.files import atomic_write

__all__ = [
    "Folder",
    "fetch",
    "is_url",
    "location_below",
    "location_of",
    "names_below",
    "open_url",
    "upload_tree",
]

LIST_SUFFIXES = ("", ".scp", ".txt", ".csv", ".tsv", ".jsonl", ".gz")
"""suffixes of files that a scan of a corpus reads"""


def is_url(location: str | Path) -> bool:
    """Whether a location is in an object store rather than on this machine's disks."""
    return "://" in str(location)


def location_of(location: str | Path) -> str:
    """An absolute path, or a URL without a slash at its end."""
    return str(location).rstrip("/") if is_url(location) else os.path.abspath(location)


def location_below(root: str | Path, name: str) -> str:
    """The absolute path or URL of a recording in a list, relative to `root`."""
    if is_url(name):
        return name
    return f"{location_of(root)}/{name}" if is_url(root) else location_of(Path(root) / name)


@lru_cache
def _filesystem(scheme: str, bucket: str) -> tuple[Any, str]:
    """A filesystem of pyarrow or else fsspec, and the path of its root ``scheme://bucket``."""
    import pyarrow as pa
    import pyarrow.fs

    try:
        return tuple(pyarrow.fs.FileSystem.from_uri(f"{scheme}://{bucket or '/'}"))
    except pa.ArrowInvalid:
        pass
    try:
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(f"{scheme}://{bucket}")
    except ImportError:
        raise MissingExtraError(f"{scheme}://", "remote") from None
    except ValueError as error:
        raise DataError(
            f"{scheme}://: {error}; s3:// and gs:// work without further packages"
        ) from None
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), path


def _resolve(url: str) -> tuple[Any, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, path = rest.partition("/")
    filesystem, root = _filesystem(scheme, bucket)
    return filesystem, f"{root.rstrip('/')}/{path}" if path else root


def open_url(url: str) -> Any:
    """Open a file of an object store for reading and seeking; OSError if it does not exist."""
    filesystem, path = _resolve(url)
    return filesystem.open_input_file(path)


def fetch(url: str) -> bytes:
    """The content of a file of an object store; OSError if it cannot be read."""
    with open_url(url) as file:
        return bytes(file.read())


class Folder:
    """Small files in a folder on disk or in an object store, each complete or absent."""

    def __init__(self, location: str | Path) -> None:
        self.location = location_of(location)

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.location}/{name}")

    def has(self, name: str) -> bool:
        """Whether a file exists, without reading it."""
        location = f"{self.location}/{name}"
        if not is_url(location):
            return Path(location).is_file()
        filesystem, path = _resolve(location)
        return bool(filesystem.get_file_info(path).is_file)

    def names(self) -> list[str]:
        """The names of its files, sorted; empty if the folder does not exist."""
        if not is_url(self.location):
            folder = Path(self.location)
            return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        import pyarrow.fs

        filesystem, path = _resolve(self.location)
        selector = pyarrow.fs.FileSelector(path, allow_not_found=True)
        return sorted(entry.base_name for entry in filesystem.get_file_info(selector))

    def read(self, name: str) -> bytes | None:
        """A file's content; None if it does not exist."""
        location = f"{self.location}/{name}"
        try:
            return fetch(location) if is_url(location) else Path(location).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file completely or not at all, replacing one of the same name."""
        location = f"{self.location}/{name}"
        if not is_url(location):
            with atomic_write(Path(location)) as temporary:
                temporary.write_bytes(content)
            return
        filesystem, path = _resolve(location)
        if location.startswith("file://"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        with filesystem.open_output_stream(path) as file:  # an object appears when it is closed
            file.write(content)


@contextmanager
def names_below(url: str) -> Iterator[Path]:
    """Yield a local tree of empty files with the names below `url`, to scan a corpus.

    Lists at the top (wav.scp, a table of speakers) are copied with their content. Raises DataError
    if the store cannot be listed.
    """
    import pyarrow as pa
    import pyarrow.fs

    filesystem, path = _resolve(url)
    selector = pyarrow.fs.FileSelector(path, recursive=True, allow_not_found=True)
    try:
        entries = filesystem.get_file_info(selector)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{url}: cannot be listed ({error})") from None
    with tempfile.TemporaryDirectory(prefix="timbral-names-") as above:
        folder = Path(above) / PurePosixPath(url.partition("://")[2]).name  # layouts see the name
        folder.mkdir(exist_ok=True)
        for entry in entries:
            if entry.type != pyarrow.fs.FileType.File:
                continue
            relative = PurePosixPath(entry.path.strip("/")).relative_to(path.strip("/"))
            local = folder / relative
            local.parent.mkdir(parents=True, exist_ok=True)
            is_list = len(relative.parts) == 1 and local.suffix in LIST_SUFFIXES
            local.write_bytes(fetch(f"{url}/{relative}") if is_list else b"")
        yield folder


def upload_tree(folder: Path, url: str) -> None:
    """Copy every file below a local folder into an object store."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target = Folder(url)
            target.write(path.relative_to(folder).as_posix(), path.read_bytes())
