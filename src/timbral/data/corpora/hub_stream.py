"""Write rows of a stream of `datasets` to an Arrow file like those in the library's cache."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from timbral.io.files import atomic_write

if TYPE_CHECKING:
    from datasets import IterableDataset

__all__ = ["write_rows"]

ROWS_A_BATCH = 32
"""rows in memory at a time"""


def write_rows(stream: IterableDataset, rows: tuple[int, int | None], file: Path) -> None:
    """Write the range `rows` (start, end) of rows, without decoding recordings."""
    from datasets import Audio
    from datasets.utils import tqdm

    first, last = rows
    kept = stream.skip(first) if first else stream
    kept = kept if last is None else kept.take(last - first)
    for column, feature in (kept.features or {}).items():
        if isinstance(feature, Audio):
            kept = kept.cast_column(column, Audio(decode=False))
    batches = iter(kept.with_format("arrow").iter(ROWS_A_BATCH))
    start = next(batches, None)
    file.parent.mkdir(parents=True, exist_ok=True)
    total = None if last is None else last - first
    with (
        tqdm(total=total, unit=" rows", desc="Streaming") as progress,
        atomic_write(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_stream(sink, pa.schema([]) if start is None else start.schema) as writer,
    ):
        for batch in batches if start is None else chain([start], batches):
            writer.write_table(batch)
            progress.update(batch.num_rows)
