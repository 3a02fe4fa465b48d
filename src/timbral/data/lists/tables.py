"""Tables of utterances, which `read_manifest` reads: Parquet, CSV, TSV, JSONL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.data.lists.list_format import Failure, ListFormat
from timbral.data.manifest import COLUMNS, Manifest
from timbral.io.files import atomic_write, write_jsonl

__all__ = ["CSV", "JSONL", "PARQUET", "TSV"]


def _plain(manifest: Manifest) -> pa.Table:
    """The table with names of plain text."""
    fields = [(name, pa.string()) for name in COLUMNS.names]
    further = [manifest.table.schema.field(name) for name in manifest.further_names]
    return manifest.table.cast(pa.schema([*fields, *further]))


def _write_parquet(manifest: Manifest, output: Path) -> Sequence[Failure]:
    with atomic_write(output) as temporary:
        pa.parquet.write_table(_plain(manifest), temporary)
    return ()


def _write_csv(manifest: Manifest, output: Path) -> Sequence[Failure]:
    with atomic_write(output) as temporary:
        pa.csv.write_csv(_plain(manifest), temporary)
    return ()


def _write_tsv(manifest: Manifest, output: Path) -> Sequence[Failure]:
    with atomic_write(output) as temporary:
        pa.csv.write_csv(_plain(manifest), temporary, pa.csv.WriteOptions(delimiter="\t"))
    return ()


def _write_jsonl(manifest: Manifest, output: Path) -> Sequence[Failure]:
    batches = manifest.table.to_batches()
    write_jsonl(output, (row for batch in batches for row in batch.to_pylist()))
    return ()


PARQUET = ListFormat(_write_parquet)
CSV = ListFormat(_write_csv, is_text=True)
TSV = ListFormat(_write_tsv, is_text=True)
JSONL = ListFormat(_write_jsonl, is_text=True)
