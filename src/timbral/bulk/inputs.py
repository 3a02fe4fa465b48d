"""What can be embedded: recordings, or the mels that were made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from timbral.audio.segments import Segment
from timbral.data.corpora.registry import scan_corpus
from timbral.data.manifest import Manifest, Utterance, check_unique, file_size
from timbral.data.prepared.mels import FRAME_BYTES, PrecomputedMels, holds_mels, read_mel
from timbral.data.prepared.store import prepared_format, read_table
from timbral.encoders.frontends import GE2E_MEL
from timbral.errors import AudioError, DataError
from timbral.inference.embedder import Embedder
from timbral.io.storage import is_url, location_of, names_below, open_url
from timbral.io.types import Vectors

__all__ = ["Content", "Input", "find_utterances", "input_of"]

Content = NDArray[np.float32]
"""what a file holds: a wave (T,), or a mel (F, M)"""

COMPRESSED_BYTES_PER_SECOND = 8_000
"""of compressed speech, about 64 kbit/s"""
FRAMES_PER_SECOND = GE2E_MEL.sample_rate // GE2E_MEL.hop_samples


def find_utterances(layout: str, root: str | Path, pattern: str | None = None) -> list[Utterance]:
    """The utterances of a corpus in a folder or behind a URL, those that fit `pattern`.

    Of a store of PCM they are the recordings it was prepared from; of precomputed mels its files.
    DataError when there are none.
    """
    found = _below_url(layout, str(root)) if is_url(root) else _scan(layout, Path(root))
    kept = [row for row in found if pattern is None or _fits(row.path, pattern)]
    if not kept:
        raise DataError(
            f"{root}: none of {len(found)} recordings fits the pattern {pattern!r}, for example "
            f"not {found[0].path}"
        )
    return kept


def _fits(path: str, pattern: str) -> bool:
    return PurePath(Segment.of(path).file).match(pattern)


def _below_url(layout: str, url: str) -> Sequence[Utterance]:
    with names_below(url) as names:
        above, place = os.path.abspath(names), location_of(url)
        return [
            replace(row, path=place + row.path.removeprefix(above))
            for row in scan_corpus(layout, names)
        ]


def _scan(layout: str, root: Path) -> Sequence[Utterance]:
    if layout == "folder" and prepared_format(root) == "arrow":
        return Manifest(read_table(root)[0])
    try:
        return scan_corpus(layout, root)
    except DataError:
        if layout != "folder" or not holds_mels(root):
            raise
    return check_unique(PrecomputedMels.open(root).utterances(), root)


class Input(Protocol):
    """A kind of file: how it is read, how long it is, how the encoder embeds it."""

    def read(self, path: str) -> Content | AudioError:
        """What the encoder takes, or why it cannot be used."""

    def estimated_seconds(self, path: str) -> float:
        """The length without reading the file; a guess where its header does not tell."""

    def seconds(self, content: Content) -> float:
        """The length of what was read."""

    def embed(self, contents: Sequence[Content]) -> Vectors:
        """Vectors (N, E)."""


def input_of(embedder: Embedder, path: str) -> Input:
    """The kind of a file, by its suffix; ConfigError for mels that the encoder does not take."""
    return MelInput(embedder) if path.endswith(".npy") else AudioInput(embedder)


class AudioInput:
    """Audio files, on disk or behind URLs."""

    def __init__(self, embedder: Embedder) -> None:
        self._sample_rate = embedder.sample_rate
        self.read = embedder.load_or_error
        self.embed = embedder.encode_waves

    def estimated_seconds(self, path: str) -> float:
        segment = Segment.of(path)
        try:
            if is_url(path):
                with open_url(segment.file) as file:
                    sample_rate, count = _header(file)
            else:
                sample_rate, count = _header(segment.file)
            samples = segment.samples(count, sample_rate)
            return float((samples.stop - samples.start) / sample_rate)
        except (soundfile.LibsndfileError, OSError, ValueError, AudioError):
            return max(file_size(path), 0) / COMPRESSED_BYTES_PER_SECOND

    def seconds(self, content: Content) -> float:
        return content.size / self._sample_rate


def _header(file: Any) -> tuple[int, int]:
    """Sample rate and number of samples."""
    with soundfile.SoundFile(file) as opened:
        return opened.samplerate, opened.frames


class MelInput:
    """Files of precomputed mels, for encoders that take such mels."""

    def __init__(self, embedder: Embedder) -> None:
        embedder.network.check_takes_mels()
        self.embed = embedder.encode_mels

    def read(self, path: str) -> Content | AudioError:
        try:
            mel = read_mel(Path(path))
        except AudioError as error:
            return error
        if not len(mel):
            return AudioError(path, "holds no frames", "empty")
        if not np.isfinite(mel).all():
            return AudioError(path, "holds values that are not finite", "not-finite")
        return mel

    def estimated_seconds(self, path: str) -> float:
        return max(file_size(path), 0) / FRAME_BYTES / FRAMES_PER_SECOND

    def seconds(self, content: Content) -> float:
        return len(content) / FRAMES_PER_SECOND
