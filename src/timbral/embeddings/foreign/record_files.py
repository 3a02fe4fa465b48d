"""JSON of other tools: one object per line, a list of objects, or a mapping of names to vectors.

NeMo's manifests have the suffix .json and one object per line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from timbral.embeddings.foreign.found import FoundVector
from timbral.embeddings.foreign.table_files import of_table
from timbral.embeddings.foreign.torch_files import of_content
from timbral.errors import DataError, first_line
from timbral.io.json_parsing import parse_json
from timbral.io.text import read_lines

__all__ = ["read_json", "read_jsonl"]


def read_json(path: Path, columns: Mapping[str, str]) -> Iterator[FoundVector]:
    """A JSON document, or one object per line."""
    try:
        content = parse_json(path.read_bytes())
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise DataError(f"{path}: is not readable JSON ({error})") from None
        return read_jsonl(path, columns)  # one object per line
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from None
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        return of_table(_table(content, path), path, columns)
    return of_content(content, path)


def read_jsonl(path: Path, columns: Mapping[str, str]) -> Iterator[FoundVector]:
    """One object per line."""
    rows = []
    for number, line in read_lines(path, "a table of vectors"):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: is not readable JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: an object is needed, got {line[:50]!r}")
        rows.append(row)
    return of_table(_table(rows, path), path, columns)


def _table(rows: list[dict[str, Any]], path: Path) -> pa.Table:
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            reason = first_line(error)
            raise DataError(f"{path}: column {name!r} contains several types ({reason})") from None
    return pa.table(columns)
