"""Further columns in the table of prepared data, after those of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral.data.further_columns import OWN_NAMES, joined
from timbral.data.manifest import Manifest
from timbral.io.files import atomic_write

__all__ = ["ROWS_AT_ONCE", "prepared_writer", "update_further"]

ROWS_AT_ONCE = 65_536
"""rows of the table in memory at a time, and in a row group of its file"""


@contextmanager
def prepared_writer(
    path: Path, schema: pa.Schema, utterances: Manifest
) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that appends rows of `schema` to a table, and adds their further columns."""
    names = utterances.further_names
    full_schema = pa.schema([*schema, *(utterances.table.schema.field(name) for name in names)])
    with pa.parquet.ParquetWriter(path, full_schema) as writer:

        def write(table: pa.Table) -> None:
            content = joined(table, utterances.table, names)
            writer.write_table(content, row_group_size=ROWS_AT_ONCE)

        yield write


def update_further(path: Path, utterances: Manifest) -> None:
    """Write the table of finished data again if the utterances' further columns have changed."""
    table = pa.parquet.read_table(path, partitioning=None)
    own = table.select([name for name in table.column_names if name in OWN_NAMES])
    if joined(own, utterances.table, utterances.further_names).equals(table):
        return
    with (
        atomic_write(path) as temporary,
        prepared_writer(temporary, own.schema, utterances) as write,
    ):
        write(own)
