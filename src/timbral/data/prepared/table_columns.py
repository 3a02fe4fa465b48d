"""Read and check the table of prepared data, which may be damaged or from another program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from timbral.errors import DataError, first_line

__all__ = ["read_columns"]

TEXTS = ("utterance", "speaker", "session", "path", "corpus")
"""text columns of every table"""
REMEDY = "copy or prepare the folder again"


def read_columns(path: Path, files: Sequence[str] = (), counts: Sequence[str] = ()) -> pa.Table:
    """A table of utterances with `TEXTS` and `files` as text and `counts` as numbers of 0 or more.

    It may have other columns, which are not checked. Raises DataError if one of these is missing,
    or has other or missing values.
    """
    try:
        table = pa.parquet.read_table(path, partitioning=None)
        present = table.column_names  # decoded now, since they may not be UTF-8
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); {REMEDY}") from None
    kinds = dict.fromkeys((*TEXTS, *files), pa.string()) | dict.fromkeys(counts, pa.int64())
    for name, kind in kinds.items():
        if present.count(name) != 1:
            raise DataError(f"{path}: needs exactly one column {name}; {REMEDY}")
        number = present.index(name)
        try:
            column = table[number].cast(kind)
            column.validate(full=True)  # that texts are UTF-8
        except pa.ArrowException:
            column_type = table.schema.field(number).type
            raise DataError(
                f"{path}: column {name} is {column_type}, not {kind}; {REMEDY}"
            ) from None
        if column.null_count:
            raise DataError(f"{path}: column {name} has rows without a value; {REMEDY}")
        if name in counts and table.num_rows and not _are_counts(column):
            raise DataError(f"{path}: column {name} contains impossible numbers; {REMEDY}")
        table = table.set_column(number, name, column)
    return table


def _are_counts(column: pa.ChunkedArray) -> bool:
    extremes = pc.min_max(column).as_py()
    return bool(extremes["min"] >= 0 and extremes["max"] < 2**48)
