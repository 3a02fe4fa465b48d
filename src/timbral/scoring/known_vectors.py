"""Vectors that an earlier evaluation in the same folder has made: they are not made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from timbral.audio.segments import Segment
from timbral.io.files import atomic_write
from timbral.io.types import Vectors

__all__ = ["KnownVectors"]

ROWS_PER_FILE = 4096


class KnownVectors:
    """Vectors by path, on disk in files that are read once and only ever added.

    A recording that was replaced since (another size, or time of change) is not known. Without a
    folder nothing is known, nor kept.
    """

    def __init__(self, folder: Path | None, root: Path) -> None:
        self._folder = folder
        self._root = root
        self._known: dict[str, tuple[int, int, Vectors]] = {}
        self._new: dict[str, tuple[int, int, Vectors]] = {}
        for path in sorted(folder.glob("vectors-*.arrow")) if folder else ():
            table = _read(path)
            if table is not None:
                self._take(table)

    def _take(self, table: pa.Table) -> None:
        vectors = np.array(table["embedding"].combine_chunks().flatten())
        rows = vectors.reshape(table.num_rows, -1)
        columns = (table[name].to_pylist() for name in ("path", "size", "changed"))
        for path, size, changed, vector in zip(*columns, rows, strict=True):
            self._known[path] = (size, changed, vector)

    def get(self, path: str) -> Vectors | None:
        """The vector (E,) of a path of the list."""
        size, changed, vector = self._known.get(path, (0, 0, None))
        return vector if (size, changed) == self._state(path) else None

    def add(self, path: str, vector: Vectors) -> None:
        """Keep a vector (E,); it is on disk after some more, or after `save`."""
        if self._folder is not None:
            self._new[path] = (*self._state(path), vector)
            if len(self._new) >= ROWS_PER_FILE:
                self.save()

    def save(self) -> None:
        """Write the vectors that are not on disk yet."""
        if self._folder is None or not self._new:
            return
        sizes, times, vectors = zip(*self._new.values(), strict=True)
        stacked = np.stack(vectors)
        table = pa.table(
            {
                "path": list(self._new),
                "size": sizes,
                "changed": times,
                "embedding": pa.FixedSizeListArray.from_arrays(stacked.ravel(), stacked.shape[1]),
            }
        )
        number = len(list(self._folder.glob("vectors-*.arrow")))
        with (
            atomic_write(self._folder / f"vectors-{number:05d}.arrow") as temporary,
            pa.ipc.new_file(str(temporary), table.schema) as writer,
        ):
            writer.write_table(table)
        self._new.clear()

    def _state(self, path: str) -> tuple[int, int]:
        """Size and time of change of a recording's file; -1 where it is missing."""
        try:
            status = Path(Segment.of(str(self._root / path)).file).stat()
        except OSError:
            return -1, -1
        return status.st_size, status.st_mtime_ns


def _read(path: Path) -> pa.Table | None:
    """A file of vectors; None when it is not whole: its vectors are made again."""
    try:
        table = pa.ipc.open_file(path.read_bytes()).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException):
        return None
    if table.column_names != ["path", "size", "changed", "embedding"] or not table.num_rows:
        return None
    *kinds, embedding = table.schema.types
    has_vectors = pa.types.is_fixed_size_list(embedding) and embedding.value_type == pa.float32()
    if kinds != [pa.string(), pa.int64(), pa.int64()] or not has_vectors:
        return None
    if any(column.null_count for column in table.columns):
        return None
    numbers = table["embedding"].combine_chunks().flatten()
    return table if np.isfinite(np.asarray(numbers)).all() else None
