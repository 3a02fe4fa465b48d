"""Columns of the recordings of a drawn list of trials, in a table beside it: LIST.columns.tsv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from timbral.data.manifest import Manifest
from timbral.data.text_columns import read_text_columns
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind
from timbral.scoring.condition_values import ByColumns, Source, column_sources

__all__ = ["COLUMNS_OF_NAMES", "columns_file", "with_list_columns", "write_columns"]

COLUMNS_OF_NAMES = FileKind("a table of recordings and columns", line=r"\"?path\"?\t.*")


def columns_file(trials: str | Path) -> Path:
    """Path of the table with the columns of a list's recordings."""
    return Path(f"{trials}.columns.tsv")


def write_columns(path: Path, names: Sequence[str], manifest: Manifest) -> None:
    """Write a manifest's further columns, by the recordings' `names` in the list; none: no file."""
    if not manifest.further_names:
        path.unlink(missing_ok=True)
        return
    table = pa.table({"path": pa.array(names, pa.string())})
    for name in manifest.further_names:
        table = table.append_column(name, manifest.table[name])
    with atomic_write(path) as temporary:
        pa.csv.write_csv(table, temporary, pa.csv.WriteOptions(delimiter="\t"))


def with_list_columns(by: ByColumns, trials: str | Path) -> ByColumns:
    """The columns, where those without a source get the table beside a list, if it has them."""
    path = columns_file(trials)
    sources: dict[str, Source] = column_sources(by)
    if None not in sources.values() or not path.is_file():
        return by
    _, names = read_text_columns(path, [])
    return {
        column: path if source is None and column in names else source
        for column, source in sources.items()
    }
