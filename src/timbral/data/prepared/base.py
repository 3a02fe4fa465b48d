"""What all prepared data has in common: a table of utterances, and their speakers."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.prepared.table_columns import read_columns
from timbral.errors import DataError
from timbral.io.files import read_json
from timbral.io.types import Ints, Vectors

if TYPE_CHECKING:  # a verb's help names the formats without torch
    from timbral.encoders.base import SpeakerEncoder

__all__ = ["Mel", "PreparedData", "PreparedEmbedder", "read_table"]


Mel = NDArray[np.float32]
"""a mel spectrogram (F, M)"""


class PreparedEmbedder(Protocol):
    """What makes vectors of prepared utterances: the Embedder."""

    def encode_preprocessed(self, waves: Sequence[Wave]) -> Vectors:
        """Preprocessed waves (T,) to vectors (N, E)."""

    def encode_mels(self, mels: Sequence[Mel]) -> Vectors:
        """Precomputed mels (F, M) to vectors (N, E)."""


class PreparedData(ABC):
    """Prepared utterances, opened for reading; rows are those of `table`, sorted by speaker."""

    folder: Path
    table: pa.Table
    """columns `utterance`, `speaker`, `session`, `path` (of the recording), `corpus`, and more"""
    samples: Ints
    """length of each row's audio at 16 kHz (N,)"""
    preprocessing: Preprocessing
    """what was done to the recordings"""
    speaker_names: list[str]
    speaker_codes: Ints
    """number of each row's speaker in `speaker_names` (N,)"""

    def __init__(
        self, folder: Path, table: pa.Table, samples: Ints, preprocessing: Preprocessing
    ) -> None:
        self.folder = folder
        self.table = table
        self.samples = samples
        self.preprocessing = preprocessing
        speakers = table["speaker"].combine_chunks().dictionary_encode()
        self.speaker_names = speakers.dictionary.to_pylist()
        self.speaker_codes = speakers.indices.to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return len(self.samples)

    def rows_of(self, speakers: set[str]) -> Ints:
        """Rows of the table whose speaker is among `speakers`."""
        codes = [code for code, name in enumerate(self.speaker_names) if name in speakers]
        return np.flatnonzero(np.isin(self.speaker_codes, codes))

    @abstractmethod
    def check_encoder(self, encoder: SpeakerEncoder) -> None:
        """Raise ConfigError for an encoder that cannot take this data."""

    @abstractmethod
    def embed(self, embedder: PreparedEmbedder, rows: Sequence[int], speed: float = 1.0) -> Vectors:
        """Vectors (N, E) of whole utterances, at a speed that also changes the pitch.

        Raises ConfigError for an embedder that cannot take this data, and for a speed other than 1
        if the data has no waves.
        """

    @abstractmethod
    def update_hash(self, digest: hashlib._Hash, row: int) -> None:
        """Update a hash with an utterance's content."""


def read_table(
    folder: Path, files: Sequence[str] = (), counts: Sequence[str] = ()
) -> tuple[pa.Table, Preprocessing]:
    """The table of finished prepared data, and its preprocessing; DataError if there is none.

    `files` and `counts` are the columns that the format needs (`read_columns`).
    """
    path = folder / "utterances.parquet"
    if not path.exists():
        raise DataError(f"{folder}: {_why_not_prepared(folder)}")
    metadata = read_json(folder / "store.json")
    try:
        preprocessing = Preprocessing(**metadata["preprocessing"])
    except (KeyError, TypeError):
        raise DataError(
            f"{folder / 'store.json'}: does not say how the data was preprocessed; prepare it again"
        ) from None
    return read_columns(path, files, counts), preprocessing


def _why_not_prepared(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    if not folder.is_dir():
        return "is a file, not a folder made by `timbral prepare`"
    if (folder / "plan.json").exists():
        return "preparation was not finished; run the same `timbral prepare` again"
    if any(True for _ in audio_files(folder, [])):
        return (
            "contains recordings, not prepared data; prepare them first: timbral prepare "
            f"{folder} --output {folder.absolute().name}-prepared"
        )
    return "contains no prepared data; make it with `timbral prepare CORPUS --output FOLDER`"
