"""Read inspected data: rows, lengths, waves and bytes, with one class per kind of data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from timbral.audio.decode import SAMPLE_RATE, Wave, decode, decode_as_is, read_header
from timbral.audio.segments import Segment
from timbral.data.corpora.recognition import AUTO
from timbral.data.file_state import file_size
from timbral.data.manifest import Manifest
from timbral.data.prepared.marks import prepared_format
from timbral.data.prepared.mels import PrecomputedMels, holds_mels
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.errors import AudioError
from timbral.io.outputs import EMBEDDINGS
from timbral.io.types import Floats

__all__ = ["DataReader", "open_data"]

HEADER_THREADS = 4


class DataReader(Protocol):
    """Utterances that can be looked at, by row."""

    kind: str
    """what the data is, in words"""
    manifest: Manifest
    seconds: Floats
    """lengths (N,); 0 if unknown"""
    rates: list[int]
    """sample rates of the recordings in Hz; 0 or absent if unknown"""
    sizes: list[int]
    """utterances of equal content have equal sizes"""
    unreadable: dict[int, AudioError]
    """rows without a length, with the reason"""
    holds_waves: bool

    def content(self, row: int, byte_range: slice) -> bytes:
        """Bytes of an utterance, to find equal ones."""

    def wave(self, row: int) -> tuple[Wave, int]:
        """The wave (T,) at any scale, and its rate in Hz; AudioError if it is unreadable."""


class StoreReader:
    """A store of PCM."""

    kind = "store of 16 kHz PCM"
    holds_waves = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self.manifest = Manifest.of_own_table(store.table)
        self.seconds = store.samples / SAMPLE_RATE
        self.rates: list[int] = store.table["sample_rate"].to_pylist()
        self.sizes: list[int] = (2 * store.samples).tolist()
        self.unreadable: dict[int, AudioError] = {}

    def content(self, row: int, byte_range: slice) -> bytes:
        return self._store.pcm(row).tobytes()[byte_range]

    def wave(self, row: int) -> tuple[Wave, int]:
        return self._store.wave(row), SAMPLE_RATE


class MelReader:
    """Precomputed mels."""

    kind = "precomputed mels"
    holds_waves = False

    def __init__(self, mels: PrecomputedMels) -> None:
        self._mels = mels
        self.manifest = Manifest.of_own_table(mels.table)
        self.seconds = mels.samples / SAMPLE_RATE
        self.rates: list[int] = []
        self.sizes: list[int] = mels.frames.tolist()
        self.unreadable: dict[int, AudioError] = {}

    def content(self, row: int, byte_range: slice) -> bytes:
        return self._mels.mel(row).tobytes()[byte_range]

    def wave(self, row: int) -> tuple[Wave, int]:
        path = self.manifest[row].path
        raise AudioError(path, "precomputed mels contain no wave", "unsupported")


class RecordingReader:
    """Recordings, whole files or segments; their headers are read at once."""

    kind = "recordings"
    holds_waves = True

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._paths: list[str] = manifest.table["path"].to_pylist()
        self.unreadable: dict[int, AudioError] = {}
        with ThreadPoolExecutor(HEADER_THREADS) as pool:
            headers = list(pool.map(self._header, range(len(self._paths))))
            self.sizes: list[int] = list(pool.map(file_size, self._paths))
        self.seconds = np.array([seconds for seconds, _ in headers])
        self.rates: list[int] = [rate for _, rate in headers]
        for row, (seconds, rate) in enumerate(headers):
            if not Segment.of(self._paths[row]).is_whole:  # a file's size says nothing of it
                self.sizes[row] = 4 * round(seconds * rate)

    def _header(self, row: int) -> tuple[float, int]:
        try:
            rate, samples, _ = read_header(self._paths[row])
        except AudioError as error:
            self.unreadable[row] = error
            return 0.0, 0
        return samples / rate, rate

    def content(self, row: int, byte_range: slice) -> bytes:
        path = self._paths[row]
        if row in self.unreadable:  # a pipe, for one
            return str(row).encode()  # equal to no other
        try:
            if not Segment.of(path).is_whole:
                return decode(path)[0].tobytes()[byte_range]
            start, stop = byte_range.start or 0, byte_range.stop
            with open(path, "rb") as file:
                file.seek(start)
                return file.read(-1 if stop is None else stop - start)
        except (OSError, AudioError):
            return str(row).encode()

    def wave(self, row: int) -> tuple[Wave, int]:
        return decode_as_is(self._paths[row])


def open_data(source: str | Path | Manifest, layout: str) -> DataReader:
    """A store, precomputed mels, or the recordings of any other source."""
    if isinstance(source, Manifest):
        return RecordingReader(source)
    folder = Path(source)
    if layout in (AUTO, "folder") and not EMBEDDINGS.is_in(folder) and holds_mels(folder):
        return MelReader(PrecomputedMels.open(folder))
    if prepared_format(folder) == "arrow":
        return StoreReader(Store.open(folder))
    return RecordingReader(find_utterances(source, layout))
