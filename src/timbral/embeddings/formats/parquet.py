"""Tables of utterances and of speakers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import write_parquet
from timbral.io.files import atomic_write

__all__ = ["PARQUET"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """utterances.parquet and speakers.parquet; for the columns, see `timbral.embeddings.table`."""
    tables = {"speakers.parquet": speaker_table(table), "utterances.parquet": table}
    for name, content in tables.items():
        with atomic_write(output / name) as temporary:
            write_parquet(content, temporary)


PARQUET = VectorFormat(_write)
