"""Temporary names beside a file or folder: one for each process that writes it.

Each is held by a lock while it is written. What a killed process leaves is taken, and written
over, by the next one that writes the same file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["temporary_file", "temporary_folder"]

LONGEST_NAME = 200
"""bytes; file systems take 255, and the temporary name is longer"""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EBADF)
"""what file systems without locks answer"""


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` that no other process or thread writes at the same time."""
    for candidate in _names(path, "timbral-tmp"):
        descriptor = os.open(candidate, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            if not _lock(descriptor):
                continue
            if _is_still(descriptor, candidate):
                yield candidate
                return
        except _NoLocksError:
            candidate.unlink(missing_ok=True)
            yield _name_of_process(candidate)
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
            if not _lock(descriptor):
                continue
            if _is_still(descriptor, candidate):
                yield candidate
                return
        except _NoLocksError:
            candidate.rmdir()
            own = _name_of_process(candidate)
            own.mkdir(exist_ok=True)
            yield own
            return
        finally:
            os.close(descriptor)


class _NoLocksError(Exception):
    """The file system has no locks."""


def _names(path: Path, suffix: str) -> Iterator[Path]:
    """``.NAME.SUFFIX``, ``.NAME.1.SUFFIX``…, of bounded length."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    yield path.with_name(f".{name}.{suffix}")
    for number in itertools.count(1):
        yield path.with_name(f".{name}.{number}.{suffix}")


def _name_of_process(candidate: Path) -> Path:
    return candidate.with_suffix(f".{os.getpid()}{candidate.suffix}")


def _lock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False when another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise _NoLocksError from None
        raise
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether a path is what was opened, and has not taken its final name in between."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
