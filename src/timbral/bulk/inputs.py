"""The inputs of embedding jobs: recordings, or precomputed mels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import stated_seconds
from timbral.audio.quality.measures import Quality
from timbral.data.file_state import file_size
from timbral.data.prepared.mels import FRAME_BYTES, read_mel
from timbral.encoders.mel_config import GE2E_MEL
from timbral.errors import AudioError
from timbral.inference.embedder import Embedder
from timbral.inference.wave_batches import rows_by_length
from timbral.io.types import Vectors

__all__ = ["Content", "Input", "input_of"]


@dataclass(frozen=True)
class Content:
    """The content of a file."""

    samples: NDArray[np.float32]
    """a wave (T,), or mels (F, M)"""
    quality: Quality | None = None
    """measures of the recording; None for mels"""


COMPRESSED_BYTES_PER_SECOND = 8_000
"""bytes per second of compressed speech, about 64 kbit/s"""
FRAMES_PER_SECOND = GE2E_MEL.sample_rate // GE2E_MEL.hop_samples


class Input(Protocol):
    """A kind of file: how to read it, measure its duration and embed it."""

    def read(self, path: str) -> Content | AudioError:
        """The content of a file, or why it is unusable."""

    def estimated_seconds(self, path: str) -> float:
        """The duration from the file's header, or estimated from its size, without decoding it."""

    def seconds(self, content: Content) -> float:
        """The duration of a content."""

    def batches(self, contents: Sequence[Content]) -> Iterator[list[int]]:
        """The rows of one or more contents that `embed` takes together at no loss of speed."""

    def embed(self, contents: Sequence[Content]) -> Vectors:
        """Vectors (N, E)."""


def input_of(embedder: Embedder, path: str) -> Input:
    """The kind of a file, from its suffix.

    Raises ConfigError for mels that the encoder does not take, MissingExtraError for recordings if
    its speech detector is not installed.
    """
    if path.endswith(".npy"):
        return MelInput(embedder)
    embedder.preprocessing.check_installed()
    return AudioInput(embedder)


class AudioInput:
    """Audio files, on disk or at URLs."""

    def __init__(self, embedder: Embedder) -> None:
        self._sample_rate = embedder.sample_rate
        self._loader = embedder.loader
        self._embed = embedder.encode_preprocessed
        self._takes_windows = embedder.windows is not None
        self._batch_samples = embedder.runtime.seconds_per_batch * embedder.sample_rate

    def read(self, path: str) -> Content | AudioError:
        loaded = self._loader.try_load_measured(path, "path")
        return loaded if isinstance(loaded, AudioError) else Content(*loaded)

    def estimated_seconds(self, path: str) -> float:
        stated = stated_seconds(path)
        if stated is not None:
            return stated
        return max(file_size(path), 0) / COMPRESSED_BYTES_PER_SECOND

    def seconds(self, content: Content) -> float:
        return content.samples.size / self._sample_rate

    def batches(self, contents: Sequence[Content]) -> Iterator[list[int]]:
        if self._takes_windows:  # of several recordings at once
            yield list(range(len(contents)))
        else:
            yield from rows_by_length([each.samples.size for each in contents], self._batch_samples)

    def embed(self, contents: Sequence[Content]) -> Vectors:
        return self._embed([content.samples for content in contents])


class MelInput:
    """Files of precomputed mels, for encoders that take such mels."""

    def __init__(self, embedder: Embedder) -> None:
        embedder.runtime.network.check_takes_mels()
        self._embed = embedder.encode_mels

    def read(self, path: str) -> Content | AudioError:
        try:
            mel = read_mel(Path(path))
        except AudioError as error:
            return error
        if not len(mel):
            return AudioError(path, "contains no frames", "empty")
        if not np.isfinite(mel).all():
            return AudioError(path, "contains values that are not finite", "not-finite")
        return Content(mel)

    def estimated_seconds(self, path: str) -> float:
        return max(file_size(path), 0) / FRAME_BYTES / FRAMES_PER_SECOND

    def seconds(self, content: Content) -> float:
        return len(content.samples) / FRAMES_PER_SECOND

    def batches(self, contents: Sequence[Content]) -> Iterator[list[int]]:
        yield list(range(len(contents)))

    def embed(self, contents: Sequence[Content]) -> Vectors:
        return self._embed([content.samples for content in contents])
