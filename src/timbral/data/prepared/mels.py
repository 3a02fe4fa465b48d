"""Precomputed mels, PaddleSpeech's form of prepared data.

    FOLDER/SPEAKER/UTTERANCE.npy    float32 (F, M): 40 linear mel powers, one frame per 10 ms
    FOLDER/SPEAKER/_sources.txt     the recording of each

`prepare` also writes a table (format npy); without one, the folders are listed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from timbral.audio.byte_source import check_regular
from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.prepared.base import (
    Mel,
    PreparedData,
    PreparedEmbedder,
    read_table,
)
from timbral.data.prepared.formats import SOURCES
from timbral.data.prepared.marks import prepared_format
from timbral.encoders.mel_config import GE2E_MEL
from timbral.errors import AudioError, ConfigError, DataError
from timbral.io.types import Vectors

if TYPE_CHECKING:  # a verb's help names the formats without torch
    from timbral.encoders.base import SpeakerEncoder

__all__ = ["FRAME_BYTES", "PrecomputedMels", "holds_mels", "read_mel"]

PADDLESPEECH_PREPROCESSING = Preprocessing(trim="webrtc", min_rms_dbfs=-30.0)
UNREADABLE = (OSError, ValueError, EOFError, MemoryError, SyntaxError, TokenError, BadZipFile)
"""what NumPy raises for damaged files, whose header it parses as Python code"""
FRAME_BYTES = 4 * GE2E_MEL.n_mels
"""bytes of a frame in a file"""
PROBED_FILES = 10
"""files to try in a folder without a table, before it is refused as one of other arrays"""


def holds_mels(folder: Path) -> bool:
    """Whether a folder holds mels: by its store.json, else by a .npy in a speaker's folder.

    A folder that also has recordings does not: its .npy are vectors or the like.
    """
    format = prepared_format(folder)
    if format is not None or not folder.is_dir():
        return format == "npy"
    if any(audio_files(folder, [])):  # the first recording answers
        return False
    return any(path.is_file() for path in folder.glob("*/*.npy"))


class PrecomputedMels(PreparedData):
    """Precomputed mels, opened for reading. `samples` follows from the frames, to 10 ms."""

    def __init__(
        self, folder: Path, table: pa.Table, frames: NDArray[np.int64], preprocessing: Preprocessing
    ) -> None:
        super().__init__(folder, table, (frames - 1) * GE2E_MEL.hop_samples, preprocessing)
        self.frames = frames
        self._files = table["file"]

    @classmethod
    def open(cls, folder: str | Path) -> PrecomputedMels:
        """Open mels that `prepare` or PaddleSpeech wrote; DataError if there are none.

        Without a table, PaddleSpeech's preprocessing is assumed.
        """
        folder = Path(folder)
        if prepared_format(folder) is not None:
            if (format := prepared_format(folder)) != "npy":
                raise DataError(
                    f"{folder}: contains no mels; they are in folders of the format "
                    f"npy, this is {format}"
                )
            table, preprocessing = read_table(folder, files=("file",), counts=("frames",))
            mels = cls(folder, table, table["frames"].to_numpy(), preprocessing)
            mels._check_no_file_is_missing()
            return mels
        rows = list(_list_rows(folder))
        if not rows:
            raise DataError(f"{folder}: contains no precomputed mels (SPEAKER/UTTERANCE.npy)")
        names = ["utterance", "speaker", "session", "path", "corpus", "file", "frames"]
        table = pa.table([list(column) for column in zip(*rows, strict=True)], names)
        mels = cls(folder, table, table["frames"].to_numpy(), PADDLESPEECH_PREPROCESSING)
        mels._check_first_files()
        return mels

    def _check_no_file_is_missing(self) -> None:
        """Raise DataError for an incomplete copy, by the files' names; no file is opened."""
        present: set[str] = set()
        for speaker in self.speaker_names:
            if (self.folder / speaker).is_dir():
                with os.scandir(self.folder / speaker) as entries:
                    present.update(f"{speaker}/{entry.name}" for entry in entries)
        missing = [file for file in self._files.to_pylist() if file not in present]
        if missing:
            raise DataError(
                f"{self.folder}: {len(missing)} of {len(self)} files are missing, such as "
                f"{missing[0]}; copy the folder again, or prepare it again"
            )

    def _check_first_files(self) -> None:
        """Raise DataError if none of the first files is a mel: the folder has other arrays."""
        errors: list[AudioError] = []
        for row in range(min(len(self), PROBED_FILES)):
            try:
                self.mel(row)
                return
            except AudioError as error:
                errors.append(error)
        raise DataError(str(errors[0]))

    def mel(self, row: int, start: int = 0, frames: int | None = None) -> Mel:
        """Frames of one utterance (F, M). Raises AudioError as `read_mel` does."""
        path = self.folder / self._files[row].as_py()
        return read_mel(path, start, frames)

    def check_encoder(self, encoder: SpeakerEncoder) -> None:
        encoder.check_takes_mels()

    def embed(self, embedder: PreparedEmbedder, rows: Sequence[int], speed: float = 1.0) -> Vectors:
        if speed != 1.0:
            raise ConfigError("speed cannot be changed with precomputed mels")
        return embedder.encode_mels([self.mel(row) for row in rows])

    def update_hash(self, digest: hashlib._Hash, row: int) -> None:
        mel = self.mel(row)
        digest.update(f"{len(mel)} frames".encode())
        digest.update(np.ascontiguousarray(mel).data)


def read_mel(path: Path, start: int = 0, frames: int | None = None) -> Mel:
    """Frames of a file of precomputed mels (F, M).

    Raises AudioError if it is not a float32 array (F, 40).
    """
    check_regular(path)
    try:
        mel: Mel = np.load(path, allow_pickle=False)  # faster than to map it
        if not isinstance(mel, np.ndarray):
            raise ValueError("it is an archive of arrays")
    except UNREADABLE as error:
        reason = f"cannot be read as a mel spectrogram ({error})"
        raise AudioError(str(path), reason, "unreadable") from None
    if mel.ndim != 2 or mel.shape[1] != GE2E_MEL.n_mels or mel.dtype != np.float32:
        reason = (
            f"a precomputed mel is float32 (F, {GE2E_MEL.n_mels}), this is {mel.dtype} {mel.shape}"
        )
        raise AudioError(str(path), reason, "unsupported")
    stop = None if frames is None else start + frames
    return np.array(mel[start:stop])


def _list_rows(folder: Path) -> Iterator[tuple[str, str, str, str, str, str, int]]:
    """Rows of a folder without a table: lengths come from file sizes, nothing is opened."""
    for speaker in sorted(item for item in folder.iterdir() if item.is_dir()):
        sources = _read_sources(speaker / SOURCES)
        with os.scandir(speaker) as entries:
            sizes = sorted((entry.name, entry.stat().st_size) for entry in entries)
        for name, size in sizes:
            if name.endswith(".npy") and not name.startswith("."):
                frames = (size - npy.MAGIC_LEN) // FRAME_BYTES  # 120 bytes of header: less than one
                file = f"{speaker.name}/{name}"
                path = sources.get(name, str(folder / file))
                yield (
                    file.removesuffix(".npy"),
                    speaker.name,
                    "",
                    path,
                    "precomputed mels",
                    file,
                    frames,
                )


def _read_sources(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}  # only says where the mels came from
    return dict(line.split(",", 1) for line in lines if "," in line)
