"""Locks of folders that one process writes at a time, on file systems with and without flock.

A lock by flock(2) ends with its process, however that ends, so it is preferred. Lustre, some NFS
and FUSE have none: then a lock file is used, which names its creator. The file of a killed process
on this machine is taken over; one of another machine must be deleted by hand.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timbral.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    raise ImportError("timbral runs on Linux and macOS; on Windows run it in WSL") from None

__all__ = ["NoLocksError", "folder_lock", "try_flock", "wait_for_flock"]

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL)
"""errors of file systems without locks"""
LOCK_FILE = ".lock-file"
WAIT_OR_CHOOSE = "wait until it has finished, or choose another folder"


class NoLocksError(Exception):
    """The file system has no locks."""


def try_flock(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; False if another process has locked it.

    Raises NoLocksError on a file system without locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise NoLocksError from None
        raise
    return True


@contextmanager
def wait_for_flock(path: Path) -> Iterator[None]:
    """Hold a lock file; wait while another process holds it.

    It only avoids repeated work: if the file system has no locks, both processes do it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process; DataError if another process has locked it.

    Warns if the file system has no locks and a lock file is used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{folder}: is a file, but a folder must be written here") from None
    with open(folder / ".lock", "w") as file:
        try:
            if not try_flock(file.fileno()):
                raise DataError(
                    f"{folder}: another timbral process is writing into this folder; "
                    f"{WAIT_OR_CHOOSE}"
                )
        except NoLocksError:
            with _lock_file(folder):
                yield
        else:
            yield


@contextmanager
def _lock_file(folder: Path) -> Iterator[None]:
    path = folder / LOCK_FILE
    _create(path)
    warnings.warn(
        f"{folder}: this file system does not support locks, so the file {path.name} marks that "
        "this process writes here; after a power failure, or a kill on another machine, delete "
        "it",
        stacklevel=4,
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path) -> None:
    """Create the lock file; DataError if another process has one."""
    content = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
    for _ in range(2):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            _remove_abandoned(path)
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        return
    raise DataError(
        f"{path.parent}: another timbral process is writing into this folder; {WAIT_OR_CHOOSE}"
    )


def _remove_abandoned(path: Path) -> None:
    """Remove the lock file of an ended process on this machine; DataError for any other."""
    try:
        owner = json.loads(path.read_text("utf-8"))
        host, pid = str(owner["host"]), int(owner["pid"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError):
        host, pid = "another machine", 0
    if host == socket.gethostname() and not _is_alive(pid):
        path.unlink(missing_ok=True)
        return
    raise DataError(
        f"{path.parent}: process {pid} on {host} is writing into this folder, according to "
        f"{path.name} (this file system does not support locks); {WAIT_OR_CHOOSE}; if it was "
        f"killed, delete {path}"
    )


def _is_alive(pid: int) -> bool:
    if not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)  # signal 0 only tests whether the process exists
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True
