"""Check the columns of a table of utterances, which other tools may have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from timbral.embeddings.vectors import LARGEST_NUMBER
from timbral.errors import DataError
from timbral.io.types import Vectors

__all__ = ["COLUMNS", "utterance_columns"]

BLOCK_ROWS = 8192
"""vectors that are checked at once"""
LISTED_ROWS = 3
"""invalid rows that an error lists"""


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A required column as strings; missing values stay null."""
    return column.cast(pa.string())


def _optional_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), "")


def _seconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Durations; 0 for missing and non-finite ones."""
    seconds = pc.fill_null(column.cast(pa.float64()), 0.0)
    return pc.if_else(pc.is_finite(seconds), seconds, 0.0)


COLUMNS: dict[str, tuple[bool, Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = {
    "utterance": (True, _texts),
    "speaker": (True, _texts),
    "session": (False, _optional_texts),
    "path": (True, _texts),
    "duration_seconds": (False, _seconds),
    "encoder": (False, _optional_texts),
    "weights_sha256": (False, _optional_texts),
    "license": (False, _optional_texts),
}
"""for each column except `embedding`: whether it is required, and how it is converted"""


def utterance_columns(table: pa.Table, path: object) -> tuple[dict[str, Any], int]:
    """The columns in `timbral.embeddings.table`, and the size E of the vectors.

    Raises DataError, with `path` and the first invalid rows, for missing columns, ids or paths, and
    for vectors that are missing, of different sizes, not finite or too large.
    """
    needed = {"embedding", *(name for name, (is_needed, _) in COLUMNS.items() if is_needed)}
    if missing := needed.difference(table.column_names):
        raise DataError(
            f"{path}: is not a table of utterances: it has no column "
            f"{', '.join(sorted(missing))}, only {', '.join(table.column_names)}; "
            "`timbral import-embeddings` reads another tool's table"
        )
    if repeated := [name for name in ("embedding", *COLUMNS) if table.column_names.count(name) > 1]:
        raise DataError(f"{path}: has the column {repeated[0]} more than once")
    if not table.num_rows:
        raise DataError(f"{path}: has no rows")
    columns: dict[str, Any] = {}
    for name, (is_needed, convert) in COLUMNS.items():
        if name not in table.column_names:
            columns[name] = pa.array([0.0 if name == "duration_seconds" else ""] * len(table))
            continue
        try:
            columns[name] = convert(table[name])
            columns[name].validate(full=True)  # texts must be UTF-8
        except pa.ArrowException:
            kind = table.schema.field(name).type
            raise DataError(
                f"{path}: column {name} cannot be read, because its type is {kind}"
            ) from None
        if is_needed:
            _refuse(columns[name].is_null().to_numpy(), path, f"{name} is missing")
    vectors = _vectors(table["embedding"], path)
    size = vectors.shape[1]
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), size)
    return columns, size


def _vectors(column: pa.ChunkedArray, path: object) -> Vectors:
    """The column `embedding` as an array (N, E)."""
    kind = column.type
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise DataError(
            f"{path}: column embedding should contain lists of floats, but its type is {kind}"
        )
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    _refuse(lists.is_null().to_numpy(zero_copy_only=False), path, "embedding is missing")
    sizes = pc.list_value_length(lists).to_numpy()
    _refuse(
        np.asarray(sizes != sizes[0]),
        path,
        (f"embedding does not have {sizes[0]} numbers like the first"),
    )
    if not sizes[0]:
        raise DataError(f"{path}: embeddings contain no numbers")
    numbers = lists.flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    vectors: Vectors = numbers.reshape(len(lists), -1)
    valid = [  # false for NaN, too
        (np.abs(vectors[start : start + BLOCK_ROWS]) <= LARGEST_NUMBER).all(axis=1)
        for start in range(0, len(vectors), BLOCK_ROWS)
    ]
    _refuse(
        ~np.concatenate(valid),
        path,
        "embedding contains NaN, infinite or absurdly large numbers",
    )
    return vectors


def _refuse(rows: NDArray[np.bool_], path: object, what: str) -> None:
    """Raise DataError if any of `rows` (N,) is true, with the first of them."""
    if rows.any():
        first = ", ".join(f"{row + 1:,}" for row in np.flatnonzero(rows)[:LISTED_ROWS])
        count = int(rows.sum())
        more = f" and {count - LISTED_ROWS:,} more" if count > LISTED_ROWS else ""
        raise DataError(f"{path}: {what} in row {first}{more}; remove such rows")
