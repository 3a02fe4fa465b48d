"""A teacher's vectors of the training data: of whole recordings, or of crops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from timbral.audio.decode import SAMPLE_RATE
from timbral.data.batches.batch import Batch, WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.source import BatchSource
from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.mels import PrecomputedMels
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, DataError
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.cache import cache_folder
from timbral.io.files import atomic_write
from timbral.io.types import Ints, Progress, Vectors
from timbral.training.distributed import Ranks

__all__ = ["TaughtBatches", "TaughtCrops", "Teacher", "TeacherVectors"]

CHUNK_ROWS = 128
"""recordings per file of vectors, the most that a killed run loses"""


class TeacherVectors:
    """Unit vectors of unaugmented whole recordings at each speed, in memory-mapped files.

    `rows` (N,) are rows of the prepared data, ascending. `chunks[s]` are their vectors (N, E) at
    speed number s, in arrays of `CHUNK_ROWS` rows.
    """

    def __init__(self, rows: Ints, chunks: Sequence[Sequence[Vectors]]) -> None:
        self._rows = rows
        self._chunks = chunks

    def of(self, rows: Ints, speeds: Ints | None = None) -> Vectors:
        """Vectors (B, E) of rows (B,) of the prepared data; `speeds` (B,) are numbers of speeds."""
        positions = np.searchsorted(self._rows, rows)
        speeds = np.zeros_like(rows) if speeds is None else speeds
        return np.stack(
            [
                self._chunks[speed][position // CHUNK_ROWS][position % CHUNK_ROWS]
                for position, speed in zip(positions.tolist(), speeds.tolist(), strict=True)
            ]
        )


@dataclass(frozen=True)
class Teacher:
    """The teacher: any encoder, and the speeds at which its vectors are needed."""

    embedder: Embedder
    speeds: tuple[float, ...]
    """speeds of the augmentation, each of which makes another voice of a recording"""

    @classmethod
    def load(cls, name: str, device: str, speeds: tuple[float, ...]) -> Teacher:
        """Load an encoder by name, run, checkpoint or exported file; errors as `load_encoder`."""
        return cls(load_encoder(name, device=device), speeds)

    @property
    def min_samples(self) -> int:
        """The shortest recording in samples that is long enough at the highest speed."""
        return round(self.embedder.runtime.network.min_samples * max(self.speeds)) + 1

    def identity(self) -> str:
        """A hash of everything besides the recordings that determines its vectors."""
        return f"{self.embedder.name} {self.embedder.weights_identity()[:16]}"

    def check(self, student: SpeakerEncoder, data: PreparedData) -> None:
        """Raise ConfigError unless teacher, student and data fit each other."""
        size = self.embedder.embedding_dim
        if student.embedding_dim != size:
            raise ConfigError(
                f"the teacher {self.embedder.name} returns vectors with {size} numbers, the "
                f"encoder of the config {student.embedding_dim}: set encoder.embedding_dim to "
                f"{size}"
            )
        if self.embedder.preprocessing != data.preprocessing:
            raise ConfigError(
                f"{data.folder} was prepared with {data.preprocessing}, but the teacher "
                f"{self.embedder.name} was trained with {self.embedder.preprocessing}: prepare "
                "the corpus with those settings"
            )

    def check_crops(self, config: DataConfig, data: PreparedData) -> None:
        """Raise ConfigError unless the data's crops are waves, long enough for the teacher."""
        if isinstance(data, PrecomputedMels):
            raise ConfigError(
                f"data.teacher_input crops needs waves, but {data.folder} contains mels: prepare "
                "it without --format npy, or set data.teacher_input to recordings"
            )
        least = self.embedder.runtime.network.min_samples / SAMPLE_RATE
        if config.crop_seconds < least:
            raise ConfigError(
                f"data.crop_seconds is {config.crop_seconds:g}, but the teacher "
                f"{self.embedder.name} needs at least {least:.3g} s: make the crops longer, or "
                "set data.teacher_input to recordings"
            )

    def vectors(
        self,
        data: PreparedData,
        rows: Ints,
        ranks: Ranks,
        progress: Progress,
    ) -> TeacherVectors:
        """The teacher's vectors of rows of prepared data, from the cache or computed now.

        A file of the cache is named by a hash of the teacher, the speed and the content of the
        recordings. The ranks divide the computation. `progress` is called with the number of
        existing files, and of all.
        """
        rows = np.sort(rows)
        chunks = [rows[first : first + CHUNK_ROWS] for first in range(0, len(rows), CHUNK_ROWS)]
        files = [
            (self._file(data, chunk, speed), chunk, speed)
            for speed in self.speeds
            for chunk in chunks
        ]
        for number, (path, chunk, speed) in enumerate(files):
            if number % ranks.count == ranks.rank and not path.exists():
                self._compute(path, data, chunk, speed)
            progress(number + 1, len(files))
        ranks.wait_for_all()  # until all have written their files
        for path, chunk, speed in files:
            if not path.exists():  # written by a rank on another machine, with its own cache
                self._compute(path, data, chunk, speed)
        mapped = [np.load(path, mmap_mode="r") for path, _, _ in files]
        per_speed = len(chunks)
        return TeacherVectors(
            rows, [mapped[k * per_speed : (k + 1) * per_speed] for k in range(len(self.speeds))]
        )

    def _file(self, data: PreparedData, chunk: Ints, speed: float) -> Path:
        runtime = self.embedder.runtime
        facts = (self.embedder.weights_identity(), self.embedder.embedding_identity(), speed)
        digest = hashlib.sha256(repr((*facts, str(runtime.device), runtime.precision)).encode())
        for row in chunk.tolist():
            data.update_hash(digest, row)
        return cache_folder() / "teachers" / f"{digest.hexdigest()}.npy"

    def _compute(self, path: Path, data: PreparedData, chunk: Ints, speed: float) -> None:
        vectors = data.embed(self.embedder, chunk.tolist(), speed)
        if not (finite := np.isfinite(vectors).all(axis=1)).all():
            utterance = data.table["utterance"][int(chunk[int(np.argmin(finite))])].as_py()
            raise DataError(f"the teacher's vector of {utterance} is not finite")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.save(file, vectors)


@dataclass(frozen=True)
class TaughtBatches(BatchSource[Batch]):
    """The batches of a source, with a teacher's vectors of their utterances."""

    source: BatchSource[Batch]
    vectors: TeacherVectors

    @property
    def num_speakers(self) -> int:
        return self.source.num_speakers

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        batch = self.source.batch(step, rows)
        speeds = None if batch.speeds is None else batch.speeds.numpy()
        vectors = self.vectors.of(batch.rows.numpy(), speeds)
        return replace(batch, teacher=torch.from_numpy(vectors))


@dataclass(frozen=True)
class TaughtCrops(BatchSource[Batch]):
    """The batches of a source, with a teacher's vectors of their crops before augmentation.

    Teacher and student get the same seconds of a recording at the same speed, so that the student
    learns the teacher's function, not the identity of recordings (Beyer et al., Knowledge
    Distillation: A Good Teacher Is Patient and Consistent, CVPR 2022). Each crop is computed when
    it is drawn; nothing is cached.
    """

    source: BatchSource[Batch]
    embedder: Embedder

    @property
    def num_speakers(self) -> int:
        return self.source.num_speakers

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        batch = self.source.batch(step, rows)
        assert isinstance(batch, WaveBatch), "checked by Teacher.check_crops"
        waves = [
            wave[:length].numpy()
            for wave, length in zip(batch.waves, batch.lengths.tolist(), strict=True)
        ]
        vectors = self.embedder.encode_preprocessed(waves)
        if not np.isfinite(vectors).all():
            raise DataError(f"the teacher's vectors of the crops of step {step} are not finite")
        return replace(batch, teacher=torch.from_numpy(vectors))
