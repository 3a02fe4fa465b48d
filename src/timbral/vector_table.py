"""Tables of vectors: their columns, and how vectors come out of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["groups", "utterance_schema", "vectors_of"]


def utterance_schema(embedding_dim: int) -> pa.Schema:
    """Columns of utterances.parquet; vectors are of unit length."""
    return pa.schema(
        [
            ("utterance", pa.string()),
            ("speaker", pa.string()),
            ("session", pa.string()),
            ("path", pa.string()),
            ("duration_seconds", pa.float64()),
            ("vector", pa.list_(pa.float32(), embedding_dim)),
            ("encoder", pa.string()),
            ("weights_sha256", pa.string()),
            ("licence", pa.string()),
        ]
    )


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The column `vector` as an array (N, E)."""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def groups(names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Distinct names in sorted order, and the rows (N,) of each."""
    distinct, codes = np.unique(np.asarray(names), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    for name, where in zip(distinct, rows, strict=True):
        yield str(name), where
