"""The columns of a table of utterances by which the points of a voice map can be colored."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from timbral.embeddings.table import UTTERANCES

__all__ = ["MapColumn", "map_columns"]

LEFT_OUT = frozenset({"utterance", "speaker", "path", "embedding"})
MOST_VALUES = 60
"""more colors cannot be distinguished; a column with more values, or with one, is left out"""
BINS = 5
"""ranges, of equally many utterances, into which numbers are divided"""


@dataclass(frozen=True)
class MapColumn:
    """One column of N utterances."""

    name: str
    values: list[str]
    """the distinct values, in order"""
    codes: list[int]
    """(N,): index of each utterance's value"""


def map_columns(embeddings: Path) -> list[MapColumn]:
    """The columns with 2 to 60 values of an `embed` folder, or of its table.

    Floating-point numbers are divided into five ranges of equally many utterances. A table that
    cannot be read has no such columns, because the map can do without.
    """
    path = embeddings / UTTERANCES if embeddings.is_dir() else embeddings
    try:
        names = [
            field.name
            for field in pa.parquet.read_schema(path)
            if field.name not in LEFT_OUT and _can_be_shown(field.type)
        ]
        table = pa.parquet.read_table(path, columns=names, partitioning=None)
        columns = [_column(name, table[name]) for name in dict.fromkeys(names)]
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError):
        return []
    return [column for column in columns if 2 <= len(column.values) <= MOST_VALUES]


def _can_be_shown(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_floating(kind)
    )


def _column(name: str, values: pa.ChunkedArray) -> MapColumn:
    if pa.types.is_floating(values.type):
        return _ranges(name, np.array(values.to_pylist(), dtype=np.float64))
    rows = ["none" if value in (None, "") else value for value in values.to_pylist()]
    distinct = sorted(set(rows), key=lambda value: (isinstance(value, str), value))
    code = {value: index for index, value in enumerate(distinct)}
    return MapColumn(name, [str(value) for value in distinct], [code[value] for value in rows])


def _ranges(name: str, numbers: Sequence[float] | np.typing.NDArray[np.float64]) -> MapColumn:
    values = np.asarray(numbers, dtype=np.float64)
    known = np.isfinite(values)
    if len(np.unique(values[known])) < 2:
        return MapColumn(name, [], [])
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)))
    codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    codes[~known] = len(edges) - 1
    texts = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    return MapColumn(name, texts + (["none"] if not known.all() else []), codes.tolist())
