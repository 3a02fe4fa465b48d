"""The formats of `prepare`, one entry of `FORMATS` each.

A format converts a preprocessed wave to what is stored, and writes shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.lib import format as npy
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, Wave, to_int16
from timbral.data.manifest import COLUMNS, Utterance
from timbral.data.prepared.store import shard_path, write_shard
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write

__all__ = [
    "FORMATS",
    "MIN_MEL_FRAMES",
    "SOURCES",
    "TABLE_COLUMNS",
    "PreparedFormat",
    "PreparedItem",
    "flac_name",
    "mel_name",
]

MIN_MEL_FRAMES = 160
"""PaddleSpeech leaves out utterances whose mel is shorter"""
SOURCES = "_sources.txt"
"""PaddleSpeech's list in a speaker's folder: each mel and its recording"""

TABLE_COLUMNS = pa.schema(
    [(name, pa.string()) for name in COLUMNS.names[:4]]
    + [
        ("duration_seconds", pa.float64()),
        ("sample_rate", pa.int32()),
        ("corpus", pa.string()),
    ]
)
"""columns of every prepared table, before those of `PreparedFormat.location`"""

PreparedItem = tuple[Utterance, NDArray[Any]]
"""an utterance and what is stored for it: PCM (T,), or a mel spectrogram (F, M)"""
Location = dict[str, Any]
"""where an utterance's data is stored: a row of the columns `PreparedFormat.location`"""


@dataclass(frozen=True)
class PreparedFormat:
    """A format of prepared recordings."""

    convert: Callable[[Wave, str], NDArray[Any]]
    """(wave (T,), its name) -> what is stored; AudioError if it cannot be used"""
    write: Callable[[Path, int, Iterable[PreparedItem]], list[Location]]
    """(folder, shard's number, items) -> the location of each item"""
    read: Callable[[Path, Location], NDArray[Any]]
    """(folder, an utterance's location) -> what was stored"""
    location: pa.Schema
    """columns of an utterance's location"""
    file_name: Callable[[Utterance], str] | None = None
    """an utterance's file below the folder, SPEAKER/…; None if shards are the only files"""

    @property
    def table(self) -> pa.Schema:
        return pa.schema([*TABLE_COLUMNS, *self.location])


def mel_name(row: Utterance) -> str:
    """PaddleSpeech's ``SPEAKER/SESSION_UTTERANCE.npy``."""
    name = row.utterance.removeprefix(f"{row.speaker}/").replace("/", "_")
    return _check_name(row, f"{row.speaker}/{name}.npy")


def flac_name(row: Utterance) -> str:
    """``SPEAKER/[SESSION/]UTTERANCE.flac``, the layout `folder`."""
    name = row.utterance.removeprefix(f"{row.speaker}/")
    if row.session and not name.startswith(f"{row.session}/"):
        name = f"{row.session}/{name}"
    return _check_name(row, f"{row.speaker}/{name}.flac")


def _check_name(row: Utterance, name: str) -> str:
    """The name; DataError for one that would lead out of the folder."""
    levels = name.split("/")
    if "/" in row.speaker or any(not level or level.startswith(".") for level in levels):
        raise DataError(
            f"utterance {row.utterance!r} of speaker {row.speaker!r} cannot be a file name; the "
            "format arrow allows any names"
        )
    return name


def _pcm(wave: Wave, name: str) -> NDArray[np.int16]:
    return to_int16(wave)


def _write_arrow(folder: Path, shard: int, items: Iterable[PreparedItem]) -> list[Location]:
    sizes: list[int] = []

    def waves() -> Iterable[tuple[str, NDArray[np.int16]]]:
        for row, pcm in items:
            sizes.append(pcm.size)
            yield row.utterance, pcm

    starts = write_shard(shard_path(folder, shard), waves())
    return [
        {"shard": shard, "start": start, "samples": size}
        for start, size in zip(starts, sizes, strict=True)
    ]


@lru_cache(maxsize=1)
def _mel_frontend() -> Callable[[Wave], NDArray[np.float32]]:
    from timbral.encoders.frontends import GE2E_MEL, MelSpectrogram  # only this format needs torch
    from timbral.encoders.wave_mels import WaveMels

    return WaveMels(MelSpectrogram(GE2E_MEL))


def _mel(wave: Wave, name: str) -> NDArray[np.float32]:
    frames = wave.size // (SAMPLE_RATE // 100) + 1
    if frames < MIN_MEL_FRAMES:
        reason = (
            f"too short for precomputed mels: {frames} frames of 10 ms after preprocessing; at "
            f"least {MIN_MEL_FRAMES} are needed"
        )
        raise AudioError(name, reason, "too-short")
    return _mel_frontend()(wave)


def _write_npy(folder: Path, shard: int, items: Iterable[PreparedItem]) -> list[Location]:
    locations: list[Location] = []
    for row, mel in items:
        name = mel_name(row)
        with atomic_write(folder / name, sync=False) as temporary, open(temporary, "r+b") as file:
            # not np.save, which does not say why a write failed
            npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(mel))
            file.write(mel.data)
        locations.append({"file": name, "frames": mel.shape[0]})
    return locations


def _write_flac(folder: Path, shard: int, items: Iterable[PreparedItem]) -> list[Location]:
    locations: list[Location] = []
    for row, pcm in items:
        name = flac_name(row)
        encoded = BytesIO()  # libsndfile does not say why a write failed
        soundfile.write(encoded, pcm, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        with atomic_write(folder / name, sync=False) as temporary, open(temporary, "r+b") as file:
            file.write(encoded.getbuffer())
        locations.append({"file": name, "samples": pcm.size})
    return locations


def _read_arrow(folder: Path, location: Location) -> NDArray[np.int16]:
    shard = np.memmap(shard_path(folder, location["shard"]), dtype=np.int16, mode="r")
    return np.array(shard[location["start"] : location["start"] + location["samples"]])


def _read_npy(folder: Path, location: Location) -> NDArray[np.float32]:
    mel: NDArray[np.float32] = np.load(folder / location["file"], allow_pickle=False)
    return mel


def _read_flac(folder: Path, location: Location) -> NDArray[np.int16]:
    pcm: NDArray[np.int16] = soundfile.read(folder / location["file"], dtype="int16")[0]
    return pcm


FORMATS: dict[str, PreparedFormat] = {
    "arrow": PreparedFormat(
        _pcm,
        _write_arrow,
        _read_arrow,
        pa.schema([("shard", pa.int32()), ("start", pa.int64()), ("samples", pa.int64())]),
    ),
    "npy": PreparedFormat(
        _mel,
        _write_npy,
        _read_npy,
        pa.schema([("file", pa.string()), ("frames", pa.int64())]),
        mel_name,
    ),
    "flac": PreparedFormat(
        _pcm,
        _write_flac,
        _read_flac,
        pa.schema([("file", pa.string()), ("samples", pa.int64())]),
        flac_name,
    ),
}
