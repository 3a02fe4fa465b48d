"""Files that are whole or absent, and folders that one process writes at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timbral.errors import DataError

__all__ = [
    "atomic_write",
    "folder_lock",
    "read_json",
    "rename_aside",
    "write_json",
    "write_jsonl",
]


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name, on error it goes.

    What a killed process leaves of it is overwritten when the file is written again. `sync`
    waits for the disk, so that a power cut leaves it whole, too: milliseconds a file.
    """
    if not path.parent.is_dir():  # asking costs less than trying
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.timbral-tmp")
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def rename_aside(folder: Path) -> Path:
    """Rename a folder to the first free of ``FOLDER.1``, ``FOLDER.2``…; returns the new name."""
    folder = Path(os.path.abspath(folder))
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return folder.rename(aside)


def write_json(path: Path, content: Any) -> None:
    """Write one JSON document, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read one JSON document; DataError when it is missing or broken."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from None


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON document per line, whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; DataError when another process holds it.

    The lock goes with the process that holds it, also when that is killed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{folder}: a file stands where a folder is to be written") from None
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"{folder}: another timbral process is writing into this folder; "
                "wait until it has finished, or choose another folder"
            ) from None
        yield
