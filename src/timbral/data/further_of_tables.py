"""Read the further columns of a table: all but those of ids, speakers, paths and times."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from timbral.data.further_columns import concatenated, table_of_rows, unfit_columns
from timbral.data.text_columns import BATCH_ROWS, read_text_columns
from timbral.errors import DataError
from timbral.io.text import open_text

__all__ = ["read_further"]

NOT_READABLE = "cannot be read as text in UTF-8"


def read_further(path: Path, taken: Collection[str]) -> tuple[pa.Table, dict[str, str]]:
    """The columns of a table that are not in `taken`; and why some are left out, by name.

    path: a file that `read_text_columns` has read. Values of .csv and .tsv are text as it stands
    there, those of .jsonl and .parquet have their types.

    Raises DataError when a row cannot be read.
    """
    if path.suffix.lower() in (".jsonl", ".json"):
        return _of_jsonl(path, taken), {}
    read: Callable[[list[str]], pa.Table]
    if path.suffix.lower() == ".parquet":
        schema = pa.parquet.read_schema(path)
        read = lambda names: pa.parquet.read_table(path, columns=names, partitioning=None)  # noqa: E731
    else:
        _, names = read_text_columns(path, [])
        schema = pa.schema([(name, pa.string()) for name in names])
        read = lambda names: read_text_columns(path, names)[0]  # noqa: E731
    others = pa.schema([field for field in schema if field.name not in taken])
    left_out = unfit_columns(others)
    table, unreadable = _readable(read, [n for n in others.names if n not in left_out])
    return table, left_out | dict.fromkeys(unreadable, NOT_READABLE)


def _readable(
    read: Callable[[list[str]], pa.Table], names: Sequence[str]
) -> tuple[pa.Table, list[str]]:
    """The columns that can be read, and the names of others."""
    if not names:
        return pa.table({}), []
    try:
        table = read(list(names))
        table.validate(full=True)
    except (DataError, pa.ArrowException, OSError, ValueError):
        if len(names) == 1:
            return pa.table({}), list(names)
    else:
        return table, []
    columns: dict[str, pa.ChunkedArray] = {}
    unreadable: list[str] = []
    for name in names:
        found, bad = _readable(read, [name])
        columns |= dict(zip(found.column_names, found.columns, strict=True))
        unreadable += bad
    return pa.table(columns), unreadable


def _of_jsonl(path: Path, taken: Collection[str]) -> pa.Table:
    tables = []
    with open_text(path) as file:
        rows = _objects(path, file)
        while batch := list(islice(rows, BATCH_ROWS)):
            others = [{k: row[k] for k in row if k not in taken} for row in batch]
            tables.append(table_of_rows(others))
    return concatenated(tables)


def _objects(path: Path, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: cannot be read as JSON ({error})") from None
        yield row if isinstance(row, dict) else {}


def _whole_number(text: str) -> int | str:
    """The number, or its text if it may not fit into 64 bits."""
    return int(text) if len(text) < 20 else text
