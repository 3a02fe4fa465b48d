"""Lists of utterances for other tools, in five formats."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.data.lists.kaldi import write_kaldi
from timbral.data.lists.lhotse import write_lhotse
from timbral.data.manifest import Manifest
from timbral.errors import check_choice
from timbral.io.files import atomic_write, write_jsonl

__all__ = ["ListFormat", "write_list"]

ListFormat = Literal["parquet", "csv", "jsonl", "kaldi", "lhotse"]


def write_list(manifest: Manifest, output: Path, format: ListFormat) -> tuple[int, int]:
    """Write a list of utterances.

    output: a file; a folder for kaldi and lhotse.

    Returns the numbers of utterances written and of failures, which only lhotse can have: it
    needs the recordings' headers.
    """
    check_choice("format", format, get_args(ListFormat))
    if format == "kaldi":
        return write_kaldi(manifest, output), 0
    if format == "lhotse":
        return write_lhotse(manifest, output)
    if format == "jsonl":
        write_jsonl(
            output, (row for batch in manifest.table.to_batches() for row in batch.to_pylist())
        )
        return len(manifest), 0
    plain = pa.schema([(name, pa.string()) for name in manifest.table.column_names])
    with atomic_write(output) as temporary:
        if format == "csv":
            pa.csv.write_csv(manifest.table.cast(plain), temporary)
        else:
            pa.parquet.write_table(manifest.table.cast(plain), temporary)
    return len(manifest), 0
