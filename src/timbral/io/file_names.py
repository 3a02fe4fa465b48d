"""Check names of files that are made from ids, before the work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from timbral.errors import DataError

__all__ = ["check_file_names"]

LONGEST_NAME = 255
"""longest name of a file or folder in bytes, on common file systems"""


def check_file_names(paths: Iterable[str | Path]) -> None:
    """Raise DataError if two files have the same path, or a name is too long for file systems."""
    seen: set[str] = set()
    for path in map(str, paths):
        if path in seen:
            raise DataError(
                f"two recordings or speakers would get the same file, {path}; rename one of them, "
                "or use a format without such files (parquet for vectors, arrow for recordings)"
            )
        seen.add(path)
        for name in Path(path).parts:
            if len(os.fsencode(name)) > LONGEST_NAME:
                raise DataError(
                    f"{name[:40]}…: its file name would have {len(os.fsencode(name))} bytes, but "
                    f"file systems allow {LONGEST_NAME}; shorten the id, or use a format without "
                    "such files (parquet for vectors, arrow for recordings)"
                )
