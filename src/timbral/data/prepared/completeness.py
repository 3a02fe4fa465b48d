"""Whether prepared data are whole: a copy may lack files, and a full disk truncates them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from timbral.data.prepared.formats import FORMATS
from timbral.data.prepared.store import Store
from timbral.data.prepared.table_columns import read_columns
from timbral.errors import DataError

__all__ = ["FAILURES", "UTTERANCES", "has_files", "is_complete"]

FAILURES = "failures.jsonl"
UTTERANCES = "utterances.parquet"
"""the table, which is written last"""


def is_complete(folder: Path, format: str) -> bool:
    """Whether all files of a preparation are there, as far as names and sizes tell."""
    if not all((folder / name).exists() for name in (UTTERANCES, "store.json", FAILURES)):
        return False
    try:
        if FORMATS[format].file_name is None:
            Store.open(folder)
            return True
        files = read_columns(folder / UTTERANCES, files=("file",))["file"].to_pylist()
    except DataError:
        return False
    return has_files(folder, files)


def has_files(folder: Path, files: Iterable[str]) -> bool:
    """Whether files are there and not empty, as a power failure leaves those written last."""
    try:
        return all((folder / file).stat().st_size for file in files)
    except FileNotFoundError:
        return False
