"""The prepared store: 16-bit PCM in memory-mapped Arrow shards, and a table of utterances.

    STORE/
      utterances.parquet    one row an utterance, sorted by speaker; its presence means complete
      shards/00000.arrow    Arrow IPC, one record batch an utterance: utterance, pcm
      shards/00000.index.json   its rows and failures; its presence means that the shard is done
      plan.json             what identifies the job: a run goes on only with the same
      store.json            preprocessing, sample rate, totals
      failures.jsonl        recordings that could not be used, with the reason

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

from timbral.audio import Preprocessing
from timbral.errors import DataError
from timbral.files import read_json, written_whole

__all__ = ["STORE_SCHEMA", "Store", "write_shard"]

PCM_SCHEMA = pa.schema([("utterance", pa.string()), ("pcm", pa.large_list(pa.int16()))])
STORE_SCHEMA = pa.schema(
    [
        ("utterance", pa.string()),
        ("speaker", pa.string()),
        ("session", pa.string()),
        ("path", pa.string()),
        ("duration_seconds", pa.float64()),
        ("sample_rate", pa.int32()),
        ("corpus", pa.string()),
        ("shard", pa.int32()),
        ("start", pa.int64()),
        ("samples", pa.int64()),
    ]
)


def write_shard(path: Path, waves: Iterable[tuple[str, NDArray[np.int16]]]) -> list[int]:
    """Write PCM as an Arrow IPC file; return where each begins, in samples from byte 0."""
    with written_whole(path) as temporary:
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


class Store:
    """A prepared store, opened for reading."""

    def __init__(self, folder: Path, table: pa.Table, preprocessing: Preprocessing) -> None:
        self.folder = folder
        self.table = table
        self.preprocessing = preprocessing
        speakers = table["speaker"].combine_chunks().dictionary_encode()
        self.speaker_names: list[str] = speakers.dictionary.to_pylist()
        self.speaker_codes = speakers.indices.to_numpy().astype(np.int64)
        """number of each row's speaker in `speaker_names`"""
        self._shard = table["shard"].to_numpy()
        self._start = table["start"].to_numpy()
        self.samples: NDArray[np.int64] = table["samples"].to_numpy()
        self._mapped = lru_cache(maxsize=4096)(self._map)

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open a store; DataError when there is none or it is incomplete."""
        path = folder / "utterances.parquet"
        if not path.exists():
            if (folder / "shards").is_dir():
                what = "preparation was not finished; start the same `timbral prepare` again"
            else:
                what = "no prepared data here; make it with `timbral prepare --output-dir`"
            raise DataError(f"{folder}: {what}")
        about = read_json(folder / "store.json")
        return cls(folder, pa.parquet.read_table(path), Preprocessing(**about["preprocessing"]))

    def __len__(self) -> int:
        return len(self.samples)

    def _map(self, shard: int) -> NDArray[np.int16]:
        return np.memmap(shard_path(self.folder, shard), dtype=np.int16, mode="r")

    def pcm(self, row: int, start: int = 0, samples: int | None = None) -> NDArray[np.int16]:
        """Samples of one utterance, a view of mapped memory (T,)."""
        length = int(self.samples[row])
        stop = length if samples is None else min(start + samples, length)
        begin = int(self._start[row])
        return self._mapped(int(self._shard[row]))[begin + start : begin + stop]

    def rows_of(self, speakers: set[str]) -> NDArray[np.int64]:
        """Rows of the table whose speaker is among `speakers`."""
        codes = [code for code, name in enumerate(self.speaker_names) if name in speakers]
        return np.flatnonzero(np.isin(self.speaker_codes, codes))


def shard_path(folder: Path, shard: int) -> Path:
    return folder / "shards" / f"{shard:05d}.arrow"
