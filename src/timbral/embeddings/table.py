"""Tables of vectors: their columns, and how vectors come out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from timbral.errors import DataError

__all__ = ["groups", "read_vectors", "utterance_schema", "vectors_of"]


def utterance_schema(embedding_dim: int) -> pa.Schema:
    """Columns of utterances.parquet; vectors are of unit length."""
    return pa.schema(
        [
            ("utterance", pa.string()),
            ("speaker", pa.string()),
            ("session", pa.string()),
            ("path", pa.string()),
            ("duration_seconds", pa.float64()),
            ("embedding", pa.list_(pa.float32(), embedding_dim)),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("license", pa.string()),
        ]
    )


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The column `vector` as an array (N, E)."""
    column = table["embedding"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def groups(names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Distinct names in sorted order, and the rows (N,) of each."""
    distinct, codes = np.unique(np.asarray(names), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    for name, where in zip(distinct, rows, strict=True):
        yield str(name), where


def read_vectors(folder: str | Path) -> pa.Table:
    """The table of utterances of an `embed` folder; DataError when there is none."""
    path = Path(folder)
    if path.is_dir():
        path /= "utterances.parquet"
    try:
        table = pa.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise DataError(
            f"{folder}: holds no utterances.parquet; make it with "
            "`timbral embed ENCODER CORPUS --output FOLDER`"
        ) from None
    missing = {"utterance", "speaker", "path", "embedding"}.difference(table.column_names)
    if missing:
        raise DataError(
            f"{path}: is no table of utterances: it has no column {', '.join(sorted(missing))}, "
            f"only {', '.join(table.column_names)}"
        )
    return table
