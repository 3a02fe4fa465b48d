"""Temporary names beside a file or folder: one for each process that writes it.

Each is held by a lock while it is written. What a killed process leaves is taken, and written
over, by the next one that writes the same file.
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

__all__ = ["empty_temporary_folder", "temporary_file", "temporary_folder", "unique_name"]

LONGEST_NAME = 200
"""bytes; file systems take 255, and the temporary name is longer"""


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` that no other process or thread writes at the same time."""
    for candidate in _names(path, "timbral-tmp"):
        descriptor = os.open(candidate, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            if not try_flock(descriptor):
                continue
            if _is_still(descriptor, candidate):
                yield candidate
                return
        except NoLocksError:
            candidate.unlink(missing_ok=True)
            yield unique_name(path, "timbral-tmp")
            return
        finally:
            os.close(descriptor)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` that no other process or thread writes at the same time.

    It may hold what a killed process left in it.
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
    """As `temporary_folder`, empty, and removed at the end."""
    with temporary_folder(path) as folder:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _names(path: Path, suffix: str) -> Iterator[Path]:
    """``.NAME.SUFFIX``, ``.NAME.1.SUFFIX``…, of bounded length."""
    name = _bounded(path.name)
    yield path.with_name(f".{name}.{suffix}")
    for number in itertools.count(1):
        yield path.with_name(f".{name}.{number}.{suffix}")


def unique_name(path: Path, suffix: str) -> Path:
    """A name beside `path`, ``.NAME.RANDOM.SUFFIX``, that no thread and no machine uses."""
    return path.with_name(f".{_bounded(path.name)}.{secrets.token_hex(4)}.{suffix}")


def _bounded(name: str) -> str:
    """A name, or its hash where it is too long for more to be added."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether a path is what was opened, and has not taken its final name in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
