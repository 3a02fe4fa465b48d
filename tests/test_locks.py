"""Folders that one process writes at a time, also on file systems without flock."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from timbral.errors import DataError
from timbral.io import locks
from timbral.io.files import atomic_folder, atomic_write
from timbral.io.locks import folder_lock, wait_for_flock


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system such as Lustre without -o flock, some NFS and some FUSE."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locks.fcntl, "flock", flock)


def held(folder: Path) -> ExitStack:
    """The lock of a folder, with the warning about the file that stands for it."""
    stack = ExitStack()
    with pytest.warns(UserWarning, match=r"does not support locks, so the file \.lock-file marks"):
        stack.enter_context(folder_lock(folder))
    return stack


def test_lock_file_stands_for_a_lock(no_flock: None, tmp_path: Path) -> None:
    with held(tmp_path):
        own = rf"process {os.getpid()} on \S+ is writing .* \(this file system does not support"
        with pytest.raises(DataError, match=own), folder_lock(tmp_path):
            pass
        assert (tmp_path / ".lock-file").exists()
    assert not (tmp_path / ".lock-file").exists()
    with held(tmp_path):
        pass


def test_lock_file_of_a_killed_process_is_taken_over(no_flock: None, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    left = {"host": socket.gethostname(), "pid": ended.pid}
    (tmp_path / ".lock-file").write_text(json.dumps(left))
    with held(tmp_path):
        assert json.loads((tmp_path / ".lock-file").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ['{"host": "another", "pid": 3}', "", "[]", '{"pid": "x"}'])
def test_lock_file_of_another_machine_is_respected(
    no_flock: None, tmp_path: Path, content: str
) -> None:
    (tmp_path / ".lock-file").write_text(content)
    with pytest.raises(DataError, match="if it was killed, delete"), folder_lock(tmp_path):
        pass
    assert (tmp_path / ".lock-file").read_text() == content


def test_writers_without_locks_have_names_of_their_own(no_flock: None, tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x") as one, atomic_write(tmp_path / "x") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    with atomic_folder(tmp_path / "f") as one, atomic_folder(tmp_path / "f") as other:
        assert one != other
    with wait_for_flock(tmp_path / "cache" / ".lock"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "f", "x"]


def test_other_errors_of_the_file_system_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), folder_lock(tmp_path):
        pass
