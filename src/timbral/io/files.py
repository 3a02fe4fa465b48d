"""Write files and folders completely or not at all."""

from __future__ import annotations

import errno
import filecmp
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timbral.errors import DataError
from timbral.io.json_parsing import parse_json
from timbral.io.temporary import (
    remove_content,
    temporary_file,
    temporary_folder,
    unique_name,
)

__all__ = [
    "atomic_folder",
    "atomic_write",
    "file_sha256",
    "other_content",
    "read_json",
    "rename_aside",
    "usual_mode",
    "visible_names",
    "write_json",
    "write_jsonl",
]

FULL_BYTES = 1 << 20
"""with less free space, a failure to write counts as a full disk"""


@contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Context after which `path` has the mode of a new file (by the umask), whoever wrote it.

    safetensors 0.8 writes another file, which only its owner can read, and renames it.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path next to `path`; it is renamed on success, and deleted on an error.

    Several processes may write one file: each has its own temporary path, and the last one to
    finish wins. Remains of a killed process are overwritten when the file is written again. `sync`
    waits for the disk, so that the file is complete even after a power failure; this takes
    milliseconds per file.
    """
    if not path.parent.is_dir():  # checking costs less than trying
        path.parent.mkdir(parents=True, exist_ok=True)
    with _under_its_name(path), temporary_file(path) as temporary:
        try:
            yield temporary
            if sync:
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            refusal = _refusal(temporary, path) if isinstance(error, Exception) else None
            temporary.unlink(missing_ok=True)
            if refusal is not None:
                raise refusal from error
            raise


@contextmanager
def atomic_folder(folder: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield an empty folder next to `folder`; it is renamed on success, and deleted on an error.

    Several processes may write one folder: if another process has written the same files, they are
    kept; other content is replaced, or without `replace` a DataError. Then hidden files, such as a
    file manager's, do not count, and are kept.
    """
    with _under_its_name(folder), temporary_folder(folder) as temporary:
        try:
            remove_content(temporary)
            yield temporary
            if not replace:
                if visible_names(folder) and not _same_files(temporary, folder):
                    raise other_content(folder)
                _copy_hidden(folder, temporary)
            _put(temporary, folder)
        except BaseException as error:
            refusal = _refusal(temporary, folder) if isinstance(error, Exception) else None
            shutil.rmtree(temporary, ignore_errors=True)
            if refusal is not None:
                raise refusal from error
            raise


@contextmanager
def _under_its_name(path: Path) -> Iterator[None]:
    """Change errors about a temporary file or folder of `path` to errors about `path`."""
    try:
        yield
    except OSError as error:
        if str(error.filename).startswith(str(path.with_name(f".{path.name}."))):
            reason = f"cannot be written ({error.strerror})"
            raise OSError(error.errno, reason, str(path)) from error
        raise


REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space and start again",
    errno.EDQUOT: "the quota of this disk is used up; free some space and start again",
    errno.EFBIG: "files of this size are not allowed here (`ulimit -f`, or the file system)",
}
"""reasons why nothing more can be written, by errno"""


def _refusal(temporary: Path, path: Path) -> OSError | None:
    """The error if the system refuses to write more for `path`; else None.

    Libraries report it in many ways, some without an errno, and some delete what they have written;
    so it is tested by growing the largest file.
    """
    try:
        if shutil.disk_usage(temporary.parent).free < FULL_BYTES:
            return OSError(errno.ENOSPC, REFUSALS[errno.ENOSPC], str(path))
        folder = temporary.is_dir()
        files = [*temporary.iterdir(), temporary / "probe"] if folder else [temporary]
        with open(max(files, key=_size), "ab") as file:
            file.write(bytes(FULL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in REFUSALS:
            return OSError(error.errno, REFUSALS[error.errno], str(path))
    return None


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1


def _put(temporary: Path, folder: Path) -> None:
    """Rename a finished folder; an existing one is replaced, unless its files are the same."""
    replaced: list[Path] = []
    try:
        while True:
            try:
                os.replace(temporary, folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            if _same_files(temporary, folder):
                shutil.rmtree(temporary)
                return
            aside = unique_name(folder, "writing")
            try:
                folder.rename(aside)
            except FileNotFoundError:
                continue  # another process has replaced it
            replaced.append(aside)
    finally:
        for aside in replaced:
            shutil.rmtree(aside, ignore_errors=True)


def other_content(folder: Path) -> DataError:
    """The error for a folder that would have to be replaced."""
    return DataError(
        f"{folder}: exists with other content, which is not replaced; choose another `output`, or "
        "delete this folder first"
    )


def visible_names(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones; none if it does not exist."""
    entries = folder.iterdir() if folder.exists() else ()
    return sorted(entry.name for entry in entries if not entry.name.startswith("."))


def _copy_hidden(folder: Path, to: Path) -> None:
    """Copy hidden files and folders; links, which may lead nowhere, stay links."""
    for entry in folder.iterdir() if folder.exists() else ():
        if not entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, to / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, to / entry.name, follow_symlinks=False)


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders contain the same files, byte for byte; hidden ones do not count."""
    names = visible_names(one)
    try:
        if names != visible_names(other):
            return False
        return all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)
    except OSError:  # it is being replaced, or contains folders
        return False


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rename_aside(folder: Path) -> Path:
    """Rename a folder to the first free of ``FOLDER.1``, ``FOLDER.2``…; returns the new name."""
    folder = Path(os.path.abspath(folder))
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(aside)


def write_json(path: Path, content: Any, *, indent: int | None = 2) -> None:
    """Write one JSON document, completely or not at all; without `indent` several times faster."""
    with atomic_write(path) as temporary:
        text = json.dumps(content, indent=indent, ensure_ascii=False)
        temporary.write_text(text + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read one JSON document; DataError if it is missing or damaged."""
    try:
        return parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from None


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON document per line, completely or not at all."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
