"""The prepared store: 16-bit PCM in memory-mapped Arrow shards, and a table of utterances.

    STORE/
      utterances.parquet    one row per utterance, sorted by speaker; its presence means complete
      shards/00000.arrow    Arrow IPC, one record batch per utterance: utterance, pcm
      plan.json             identifies the job: only the same job is resumed here
      store.json            format, preprocessing, sample rate, totals
      failures.jsonl        recordings that could not be used: path, reason, kind
      .prepare/             what a preparation has done so far; gone when it is complete

A random crop is one slice of mapped memory: the table holds where in its shard's file the
samples of an utterance begin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, Wave, resample
from timbral.audio.preprocessing import Preprocessing
from timbral.data.prepared.base import PreparedData, PreparedEmbedder, read_table
from timbral.data.prepared.marks import prepared_format
from timbral.errors import DataError
from timbral.io.files import atomic_write
from timbral.io.types import Vectors

if TYPE_CHECKING:  # a verb's help names the formats without torch
    from timbral.encoders.base import SpeakerEncoder

__all__ = ["Store", "shard_path", "write_shard"]

COPY_AGAIN = "the store was copied incompletely or its disk was full: copy or prepare it again"
MOST_SHARDS = 10_000_000
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


class Store(PreparedData):
    """A prepared store of PCM, opened for reading."""

    def __init__(self, folder: Path, table: pa.Table, preprocessing: Preprocessing) -> None:
        super().__init__(folder, table, table["samples"].to_numpy(), preprocessing)
        self._shard = table["shard"].to_numpy()
        self._start = table["start"].to_numpy()
        self._mapped = lru_cache(maxsize=4096)(self._map)

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """Open a store; DataError if there is none, it has another format, or it is incomplete."""
        folder = Path(folder)
        if (format := prepared_format(folder)) not in ("arrow", None):
            raise DataError(f"{folder}: has the format {format}, but arrow is needed here")
        table, preprocessing = read_table(folder, counts=("shard", "start", "samples"))
        store = cls(folder, table, preprocessing)
        store._check_shards()
        return store

    def _check_shards(self) -> None:
        """Raise DataError for a missing or truncated shard, which would be read as silence."""
        most = int(self._shard.max(initial=-1))
        if most >= MOST_SHARDS:
            raise DataError(f"{self.folder}: its table refers to shard {most}; {COPY_AGAIN}")
        ends = np.zeros(most + 1, np.int64)
        np.maximum.at(ends, self._shard, self._start + self.samples)
        for shard in np.flatnonzero(ends).tolist():
            samples = int(ends[shard])
            path = shard_path(self.folder, shard)
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                raise DataError(f"{path}: is missing; {COPY_AGAIN}") from None
            if size < 2 * samples or size % 2:
                raise DataError(
                    f"{path}: has {size:,} bytes; its table needs an even number of at least "
                    f"{2 * samples:,}; {COPY_AGAIN}"
                )

    def _map(self, shard: int) -> NDArray[np.int16]:
        mapped = np.memmap(shard_path(self.folder, shard), dtype=np.int16, mode="r")
        return mapped.view(np.ndarray)  # makes slices five times as fast

    def pcm(self, row: int, start: int = 0, samples: int | None = None) -> NDArray[np.int16]:
        """Samples of one utterance, a view of mapped memory (T,)."""
        length = int(self.samples[row])
        stop = length if samples is None else min(start + samples, length)
        begin = int(self._start[row])
        return self._mapped(int(self._shard[row]))[begin + start : begin + stop]

    def check_encoder(self, encoder: SpeakerEncoder) -> None:
        """Every encoder takes audio."""

    def wave(self, row: int, speed: float = 1.0) -> Wave:
        """One utterance (T,), at a speed that also changes the pitch."""
        wave: Wave = self.pcm(row).astype(np.float32) / np.float32(32_768)
        rate = round(SAMPLE_RATE * speed)
        return wave if rate == SAMPLE_RATE else resample(wave, rate, SAMPLE_RATE)

    def embed(self, embedder: PreparedEmbedder, rows: Sequence[int], speed: float = 1.0) -> Vectors:
        """Vectors (N, E) of whole utterances, at a speed."""
        return embedder.encode_preprocessed([self.wave(row, speed) for row in rows])

    def update_hash(self, digest: hashlib._Hash, row: int) -> None:
        pcm = self.pcm(row)
        digest.update(f"{len(pcm)} samples".encode())
        digest.update(np.ascontiguousarray(pcm).data)


def shard_path(folder: Path, shard: int) -> Path:
    """The path of a shard of PCM."""
    return folder / "shards" / f"{shard:05d}.arrow"
