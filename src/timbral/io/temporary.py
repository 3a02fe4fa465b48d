"""Temporary names next to a file or folder, one for each process that writes it.

Each is locked while it is written. Remains of a killed process are overwritten by the next one that
writes the same file.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from timbral.io.locks import NoLocksError, try_flock

__all__ = [
    "empty_temporary_folder",
    "remove_content",
    "temporary_file",
    "temporary_folder",
    "unique_name",
]

LONGEST_NAME = 200
"""bytes; file systems allow 255, and the temporary name is longer"""


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield an empty file next to `path` that no other process or thread uses at the same time.

    Opened as "r+b", it is written faster than as "wb": ext4 sends a file that was truncated to the
    disk at once when it is closed.
    """
    for candidate in _names(path, "timbral-tmp"):
        descriptor = os.open(candidate, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not try_flock(descriptor):
                continue
            if _is_still(descriptor, candidate):
                if os.fstat(descriptor).st_size:  # remains of a killed process
                    os.ftruncate(descriptor, 0)
                yield candidate
                return
        except NoLocksError:
            candidate.unlink(missing_ok=True)
            unique = unique_name(path, "timbral-tmp")
            unique.touch()
            yield unique
            return
        finally:
            os.close(descriptor)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a folder next to `path` that no other process or thread uses at the same time.

    It may contain remains of a killed process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for candidate in _names(path, "writing"):
        with suppress(FileExistsError):
            candidate.mkdir()
        try:
            descriptor = os.open(candidate, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # it took its final name in between
        try:
            if not try_flock(descriptor):
                continue
            if _is_still(descriptor, candidate):
                yield candidate
                return
        except NoLocksError:
            with suppress(OSError):  # another process has removed it, too
                candidate.rmdir()
            unique = unique_name(path, "writing")
            unique.mkdir()
            yield unique
            return
        finally:
            os.close(descriptor)


@contextmanager
def empty_temporary_folder(path: Path) -> Iterator[Path]:
    """Like `temporary_folder`, but empty, and removed at the end."""
    with temporary_folder(path) as folder:
        remove_content(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_content(folder: Path) -> None:
    """Delete everything in a folder, but not what links in it point to."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _names(path: Path, suffix: str) -> Iterator[Path]:
    """``.NAME.SUFFIX``, ``.NAME.1.SUFFIX``…, of bounded length."""
    name = _bounded(path.name)
    yield path.with_name(f".{name}.{suffix}")
    for number in itertools.count(1):
        yield path.with_name(f".{name}.{number}.{suffix}")


def unique_name(path: Path, suffix: str) -> Path:
    """A random name next to `path`, ``.NAME.RANDOM.SUFFIX``, that no thread or machine uses."""
    return path.with_name(f".{_bounded(path.name)}.{secrets.token_hex(4)}.{suffix}")


def _bounded(name: str) -> str:
    """A name, or its hash if the name is too long."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether a path is still the opened file, which may have been renamed in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
