"""Load and preprocess recordings for an encoder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from timbral.audio.decode import (
    Wave,
    decode_bytes_with_channels,
    decode_with_channels,
    failures_of,
)
from timbral.audio.length_limit import NO_LIMIT, LengthLimit
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.quality.measure import measure
from timbral.audio.quality.measures import Quality
from timbral.encoders.native_windows import Windows
from timbral.errors import AudioError
from timbral.inference.recordings import name_of, read_recording, too_short
from timbral.io.threads import map_ahead
from timbral.io.types import Floats

__all__ = ["RecordingLoader", "embedding_identity"]


def embedding_identity(preprocessing: Preprocessing, windows: Windows | None) -> str:
    """Hash of preprocessing and windows, which together with the weights determine a vector."""
    content = json.dumps(
        [preprocessing.as_dict(), None if windows is None else list(astuple(windows))]
    )
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class RecordingLoader:
    """Loads and preprocesses recordings for one encoder."""

    preprocessing: Preprocessing
    sample_rate: int
    """rate of the encoder in Hz"""
    min_samples: int
    encoder: str
    limit: LengthLimit = NO_LIMIT
    """longest recording; the content of longer files is refused before decoding"""

    def load(self, audio: object, argument: str, sample_rate: float | None) -> Wave:
        """A preprocessed recording (T,) at the encoder's rate, long enough for it.

        `sample_rate` is for samples without a rate. Raises AudioError, InputError and ConfigError
        as `Embedder.encode` does; errors name the path, or else `argument`.
        """
        name = name_of(audio, argument)
        with self.limit.turn:
            return self._prepare(*self._read(audio, name, sample_rate), name)

    def try_load_with_times(self, path: str | Path) -> tuple[Wave, Floats] | AudioError:
        """Like `try_load`, with the ranges (K, 2) that trimming kept, in seconds."""
        name = os.fspath(path)
        try:
            with self.limit.turn:
                return self._prepare_with_times(*self._read(path, name, None), name)
        except AudioError as error:
            return error

    def try_load(self, path: str | Path) -> Wave | AudioError:
        """Like `load`, but returns the error of an unusable recording."""
        try:
            return self.load(path, "audio", None)
        except AudioError as error:
            return error

    def try_load_measured(
        self, audio: object, argument: str, sample_rate: float | None = None
    ) -> tuple[Wave, Quality] | AudioError:
        """Like `load_measured`, but returns the error of an unusable recording."""
        try:
            return self.load_measured(audio, argument, sample_rate)
        except AudioError as error:
            return error

    def load_in_batches(
        self,
        recordings: Sequence[object],
        argument: str,
        sample_rate: float | None,
        samples: int,
    ) -> Iterator[list[Wave]]:
        """Recordings in order, in lists with `samples` or more in all, except the last list.

        They are loaded in threads.
        """

        def load(row: int) -> Wave:
            return self.load(recordings[row], f"{argument}[{row}]", sample_rate)

        held: list[Wave] = []
        size = 0
        for wave in map_ahead(load, range(len(recordings))):
            held.append(wave)
            size += len(wave)
            if size >= samples:
                yield held
                held, size = [], 0
        yield held

    def load_measured(
        self, audio: object, argument: str, sample_rate: float | None
    ) -> tuple[Wave, Quality]:
        """Like `load`, with the measures of the original recording."""
        name = name_of(audio, argument)
        with self.limit.turn:
            return self._load_measured(audio, name, sample_rate)

    def _load_measured(
        self, audio: object, name: str, sample_rate: float | None
    ) -> tuple[Wave, Quality]:
        if isinstance(audio, str | os.PathLike):
            wave, channels, rate = decode_with_channels(os.fspath(audio))
        elif isinstance(audio, bytes):
            wave, channels, rate = decode_bytes_with_channels(audio, name, self.limit)
        else:
            wave, rate = self._read(audio, name, sample_rate)
            channels = wave
        prepared = self._prepare(wave, rate, name)
        with failures_of(name):
            return prepared, measure(channels, rate)

    def _read(self, audio: object, name: str, sample_rate: float | None) -> tuple[Wave, int]:
        return read_recording(audio, name, sample_rate, self.sample_rate, self.limit)

    def _prepare(self, samples: Wave, rate: int, name: str) -> Wave:
        return self._prepare_with_times(samples, rate, name)[0]

    def _prepare_with_times(self, samples: Wave, rate: int, name: str) -> tuple[Wave, Floats]:
        self.limit.check(name, len(samples), rate, 1)
        with failures_of(name):
            wave, kept = self.preprocessing.with_times(samples, rate, self.sample_rate, name)
        if wave.size < self.min_samples:
            raise too_short(name, wave.size, self.sample_rate, self.encoder, self.min_samples)
        return wave, kept
