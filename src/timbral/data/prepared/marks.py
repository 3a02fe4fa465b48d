"""Recognize a folder of prepared data."""

from __future__ import annotations

from pathlib import Path

from timbral.io.files import read_json

__all__ = ["MARKS", "prepared_format"]

MARKS = ("store.json", "plan.json")
"""files of a finished preparation, and of one that began"""
FORMAT_NAMES = ("arrow", "npy", "flac")
"""those of `FORMATS`; another tool's store.json may name others"""


def prepared_format(folder: Path) -> str | None:
    """The format of a folder that `prepare` made or began: arrow, npy or flac; None for others.

    Raises DataError if one of `MARKS` is not JSON.
    """
    for name in MARKS:
        if _is_there(folder / name):
            metadata = read_json(folder / name)
            format = metadata.get("format") if isinstance(metadata, dict) else None
            if format in FORMAT_NAMES:
                return str(format)
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # reported when its folder is listed
        return False
