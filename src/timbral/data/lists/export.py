"""Lists of utterances for other tools: of a corpus or of prepared data, in five formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from timbral.data.corpora.registry import scan_corpus
from timbral.data.lists.kaldi import write_kaldi
from timbral.data.lists.lhotse import write_lhotse
from timbral.data.manifest import Manifest, read_manifest
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.prepared.store import prepared_format, read_table
from timbral.io.files import atomic_write, write_jsonl

__all__ = ["ListFormat", "find_utterances", "write_list"]

ListFormat = Literal["parquet", "csv", "jsonl", "kaldi", "lhotse"]


def find_utterances(root: Path, layout: str = "folder") -> Manifest:
    """The utterances of a corpus, of prepared data, of precomputed mels, or of a table.

    Of prepared data the source recordings are named; of `--format flac` its own files.
    """
    if root.is_file():
        return read_manifest(root)
    format = prepared_format(root)
    if format is None:
        return (
            Manifest(PrecomputedMels.open(root).table)
            if holds_mels(root)
            else scan_corpus(layout, root)
        )
    table, _ = read_table(root)
    if format == "flac":
        own = [f"{os.path.abspath(root)}/{name}" for name in table["file"].to_pylist()]
        table = table.set_column(table.column_names.index("path"), "path", [own])
    return Manifest(table)


def write_list(manifest: Manifest, output: Path, format: ListFormat) -> tuple[int, int]:
    """Write a list to a file, or to a folder for kaldi and lhotse; utterances and failures."""
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
