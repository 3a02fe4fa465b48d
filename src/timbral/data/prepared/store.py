"""The prepared store: 16-bit PCM in memory-mapped Arrow shards, and a table of utterances.

    STORE/
      utterances.parquet    one row an utterance, sorted by speaker; its presence means complete
      shards/00000.arrow    Arrow IPC, one record batch an utterance: utterance, pcm
      plan.json             what identifies the job: a run goes on only with the same
      store.json            format, preprocessing, sample rate, totals
      failures.jsonl        recordings that could not be used, with the reason
      .prepare/             what a preparation has done so far; gone when it is complete

A random crop is one slice of mapped memory: the table holds where in its shard's file the
samples of an utterance begin.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from numpy.typing import NDArray

from timbral.audio.preprocessing import Preprocessing
from timbral.errors import DataError
from timbral.io.files import atomic_write, read_json

__all__ = ["Prepared", "Store", "prepared_format", "read_table", "shard_path", "write_shard"]

PCM_SCHEMA = pa.schema([("utterance", pa.string()), ("pcm", pa.large_list(pa.int16()))])


def write_shard(path: Path, waves: Iterable[tuple[str, NDArray[np.int16]]]) -> list[int]:
    """Write PCM as an Arrow IPC file; return where each begins, in samples from byte 0."""
    with atomic_write(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, PCM_SCHEMA) as writer:
            for utterance, pcm in waves:
                offsets = pa.array([0, len(pcm)], pa.int64())
                values = pa.LargeListArray.from_arrays(offsets, pa.array(pcm))
                writer.write_batch(pa.record_batch([pa.array([utterance]), values], PCM_SCHEMA))
        with pa.memory_map(str(temporary)) as source:
            base = source.read_buffer(1).address
            reader = pa.ipc.open_file(source)
            batches = (reader.get_batch(row) for row in range(reader.num_record_batches))
            return [(batch.column(1).values.buffers()[1].address - base) // 2 for batch in batches]


class Prepared:
    """Prepared utterances of any format: their table, and who speaks which."""

    def __init__(
        self,
        folder: Path,
        table: pa.Table,
        samples: NDArray[np.int64],
        preprocessing: Preprocessing,
    ) -> None:
        self.folder = folder
        self.table = table
        self.samples = samples
        """length of each row's audio at 16 kHz"""
        self.preprocessing = preprocessing
        speakers = table["speaker"].combine_chunks().dictionary_encode()
        self.speaker_names: list[str] = speakers.dictionary.to_pylist()
        self.speaker_codes = speakers.indices.to_numpy().astype(np.int64)
        """number of each row's speaker in `speaker_names`"""

    def __len__(self) -> int:
        return len(self.samples)

    def rows_of(self, speakers: set[str]) -> NDArray[np.int64]:
        """Rows of the table whose speaker is among `speakers`."""
        codes = [code for code, name in enumerate(self.speaker_names) if name in speakers]
        return np.flatnonzero(np.isin(self.speaker_codes, codes))


def prepared_format(folder: Path) -> str | None:
    """The format of a folder that `timbral prepare` made: arrow, npy or flac; None for others."""
    if not (folder / "store.json").exists():
        return None
    about = read_json(folder / "store.json")
    return str(about["format"]) if isinstance(about, dict) and "format" in about else None


def read_table(folder: Path) -> tuple[pa.Table, Preprocessing]:
    """The table of a complete preparation; DataError when there is none."""
    path = folder / "utterances.parquet"
    if not path.exists():
        if (folder / "plan.json").exists():
            what = "preparation was not finished; start the same `timbral prepare` again"
        else:
            what = "no prepared data here; make it with `timbral prepare --output-dir`"
        raise DataError(f"{folder}: {what}")
    about = read_json(folder / "store.json")
    return pa.parquet.read_table(path), Preprocessing(**about["preprocessing"])


class Store(Prepared):
    """A prepared store of PCM, opened for reading."""

    def __init__(self, folder: Path, table: pa.Table, preprocessing: Preprocessing) -> None:
        super().__init__(folder, table, table["samples"].to_numpy(), preprocessing)
        self._shard = table["shard"].to_numpy()
        self._start = table["start"].to_numpy()
        self._mapped = lru_cache(maxsize=4096)(self._map)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store; DataError when there is none, or another format, or it is incomplete."""
        table, preprocessing = read_table(folder)
        format = prepared_format(folder)
        if format != "arrow":
            raise DataError(f"{folder}: holds --format {format}, and --format arrow is needed here")
        return cls(folder, table, preprocessing)

    def _map(self, shard: int) -> NDArray[np.int16]:
        mapped = np.memmap(shard_path(self.folder, shard), dtype=np.int16, mode="r")
        return mapped.view(np.ndarray)  # slices of it are made five times as fast

    def pcm(self, row: int, start: int = 0, samples: int | None = None) -> NDArray[np.int16]:
        """Samples of one utterance, a view of mapped memory (T,)."""
        length = int(self.samples[row])
        stop = length if samples is None else min(start + samples, length)
        begin = int(self._start[row])
        return self._mapped(int(self._shard[row]))[begin + start : begin + stop]


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard of PCM lies."""
    return folder / "shards" / f"{shard:05d}.arrow"
