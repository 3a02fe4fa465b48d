"""The Embedder: the only road from audio to vectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.audio.decode import Wave, check_wave
from timbral.audio.preprocessing import Preprocessing, load
from timbral.embeddings.vectors import unit_length
from timbral.encoders.base import SpeakerEncoder, Windows
from timbral.errors import AudioError, ConfigError

__all__ = ["Audio", "Embedder", "Vector"]

Vector = NDArray[np.float32]
Audio = str | Path | NDArray[Any] | Tensor
"""a path, or samples (T,): floats in [-1, 1] or signed integers"""

PRECISIONS = ("fp32", "bf16")
WINDOWS_PER_BATCH = {"cpu": 64, "cuda": 1024}
SECONDS_PER_BATCH = {"cpu": 16, "cuda": 2048}
"""padded seconds in one batch of whole utterances; a CPU's cache holds no more"""
PADDED_SECONDS = 0.5
"""Batches last a multiple of this: oneDNN keeps compiled kernels for each shape it meets, and with
few shapes CAM++ takes two thirds of the memory, and a tenth less time in bf16."""


class Embedder:
    """An encoder, the preprocessing that it was trained on, and a device.

    Vectors are float32 and of unit length; `embedding_dim` is their size E. In the precision
    ``bf16`` matrix products are faster where the processor has them; vectors keep a cosine of
    0.999 or more to those of ``fp32``. With `compile` the encoder is compiled by torch, which takes
    minutes at the first recording; on the CPUs measured it gains nothing (docs/encoders.md).
    """

    def __init__(
        self,
        encoder: SpeakerEncoder,
        preprocessing: Preprocessing | None = None,
        *,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        compile: bool = False,
        name: str = "",
        weights_sha256: str = "",
        license: str = "",
    ) -> None:
        self.network = encoder.to(device).eval()
        self.preprocessing = preprocessing or Preprocessing()
        self.device = torch.device(device)
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is fp32 or bf16, got {precision!r}")
        self.precision = precision
        self.compile = compile
        self._embed_features = self._backbone()
        self.sample_rate = encoder.sample_rate
        self.embedding_dim = encoder.embedding_dim
        self.name = name or encoder.name
        self.weights_sha256 = weights_sha256
        self.license = license

    def _backbone(self) -> Callable[[Tensor, Tensor], Tensor]:
        backbone: Callable[[Tensor, Tensor], Tensor] = self.network.embed_features
        return torch.compile(backbone, dynamic=True) if self.compile else backbone

    def __getstate__(self) -> dict[str, Any]:  # what is compiled cannot be sent to a worker
        return {key: value for key, value in vars(self).items() if key != "_embed_features"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._embed_features = self._backbone()

    def encode(self, audio: Audio, sample_rate: int | None = None) -> Vector:
        """One recording to one vector (E,).

        Samples are taken to be at the encoder's rate unless `sample_rate` says otherwise.
        Raises AudioError when the recording cannot be used.
        """
        vector: Vector = self.encode_waves([self.load(audio, sample_rate)])[0]
        return vector

    def encode_speaker(self, recordings: Sequence[Audio], sample_rate: int | None = None) -> Vector:
        """Several recordings of one speaker to one vector (E,): the mean, made unit length."""
        if isinstance(recordings, str | Path):
            raise ConfigError("encode_speaker takes a list of recordings; encode takes one")
        if len(recordings) == 0:
            raise ConfigError("encode_speaker needs at least one recording; the list is empty")
        vectors = self.encode_waves([self.load(audio, sample_rate) for audio in recordings])
        return unit_length(vectors.mean(axis=0))

    def similarity(self, first: Audio, second: Audio, sample_rate: int | None = None) -> float:
        """Cosine in [-1, 1] of the vectors of two recordings."""
        vectors = self.encode_waves([self.load(audio, sample_rate) for audio in (first, second)])
        return float(np.clip(vectors[0] @ vectors[1], -1.0, 1.0))

    def load(self, audio: Audio, sample_rate: int | None = None) -> Wave:
        """A recording as the encoder hears it: preprocessed, at its rate, long enough (T,)."""
        if isinstance(audio, str | Path):
            wave, name = load(audio, self.preprocessing, self.sample_rate), str(audio)
        else:
            samples = audio.detach().cpu().numpy() if isinstance(audio, Tensor) else audio
            name, rate = "audio", sample_rate or self.sample_rate
            wave = self.preprocessing(check_wave(samples, name), rate, self.sample_rate, name)
        self.check_length(wave, name)
        return wave

    def load_or_error(self, path: str | Path) -> Wave | AudioError:
        """As `load`, but a recording that cannot be used gives its error."""
        try:
            return self.load(path)
        except AudioError as error:
            return error

    def load_each(
        self, paths: Iterable[str | Path], threads: int = 4
    ) -> Iterator[Wave | AudioError]:
        """Load recordings in threads, a few ahead; in order, a failure in its place."""

        with ThreadPoolExecutor(threads) as pool:
            ahead: deque[Future[Wave | AudioError]] = deque()
            for path in paths:
                ahead.append(pool.submit(self.load_or_error, path))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def check_length(self, wave: Wave, name: str) -> None:
        """Raise AudioError when a wave is shorter than the encoder's `min_samples`."""
        if wave.size < self.network.min_samples:
            reason = (
                f"{wave.size / self.sample_rate:.3f} s of audio is too short; "
                f"{self.name} needs {self.network.min_samples / self.sample_rate:.2f} s or more"
            )
            raise AudioError(name, reason, "too-short")

    @torch.inference_mode()
    def encode_waves(self, waves: Sequence[Wave]) -> Vector:
        """Preprocessed waves to vectors (N, E), in their order.

        Each vector is what its wave alone gives (to 1e-5). Waves longer than the encoder's
        `longest_seconds` are cut into equal parts, whose unit vectors are averaged.
        """
        if not len(waves):
            return np.empty((0, self.embedding_dim), dtype=np.float32)
        with self._in_precision():
            if self.network.windows:
                return self._embed_windows(waves, self.network.windows, self._windows)
            return self._embed_whole(waves)

    def _in_precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _embed_whole(self, waves: Sequence[Wave]) -> Vector:
        longest = int(self.network.longest_seconds * self.sample_rate)
        owners, parts = [], []
        for row, wave in enumerate(waves):
            cut = np.array_split(wave, -(-len(wave) // longest))
            owners += [row] * len(cut)
            parts += cut
        vectors = np.empty((len(parts), self.embedding_dim), dtype=np.float32)
        for rows in self._batches([len(part) for part in parts]):
            padded, lengths = self._pad([parts[row] for row in rows])
            features = self.network.features(padded, lengths)
            vectors[rows] = self._embed_features(*features).float().cpu().numpy()
        sums = np.zeros((len(waves), self.embedding_dim), dtype=np.float32)
        np.add.at(sums, owners, unit_length(vectors))
        return unit_length(sums)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows in order of length, in batches of a bounded padded size."""
        limit = SECONDS_PER_BATCH.get(self.device.type, 16) * self.sample_rate
        rows: list[int] = []
        for row in np.argsort(lengths, kind="stable").tolist():
            if rows and lengths[row] * (len(rows) + 1) > limit:
                yield rows
                rows = []
            rows.append(row)
        yield rows

    def _pad(self, waves: Sequence[Wave]) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([len(wave) for wave in waves])
        step = int(PADDED_SECONDS * self.sample_rate)
        padded = torch.zeros(len(waves), -(-int(lengths.max()) // step) * step)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = torch.from_numpy(np.ascontiguousarray(wave))
        return padded.to(self.device), lengths.to(self.device)

    @torch.inference_mode()
    def encode_mels(self, mels: Sequence[NDArray[np.float32]]) -> Vector:
        """Utterances of precomputed mels, (F, M) each, to vectors (N, E), in their order.

        Raises ConfigError for an encoder that hears something else.
        """
        self.network.check_takes_mels()
        assert self.network.windows is not None, "an encoder on these mels hears windows"
        with self._in_precision():
            return self._embed_windows(mels, self.network.windows, self._mel_windows)

    def _mel_windows(self, mel: NDArray[np.float32], windows: Windows) -> Iterator[Tensor]:
        """Features (F, M) of each window of a mel, zeros behind its end."""
        samples = len(mel) * self.network.hop_samples - 1  # the most that gives so many frames
        starts = windows.starts(samples, self.network.hop_samples)
        padded = torch.zeros(max(len(mel), starts[-1] + windows.frames), mel.shape[1])
        padded[: len(mel)] = torch.from_numpy(mel)
        for start in starts:
            yield padded[start : start + windows.frames].to(self.device)

    def _embed_windows(
        self,
        utterances: Sequence[NDArray[np.float32]],
        windows: Windows,
        cut: Callable[[NDArray[np.float32], Windows], Iterator[Tensor]],
    ) -> Vector:
        """Windows of many utterances through the encoder together; then the mean of each's."""
        pending = (
            (row, features)
            for row, utterance in enumerate(utterances)
            for features in cut(utterance, windows)
        )
        sums = np.zeros((len(utterances), self.embedding_dim), dtype=np.float32)
        size = WINDOWS_PER_BATCH.get(self.device.type, 64)
        for batch in _chunks(pending, size):
            features = torch.stack([features for _, features in batch])  # (B, F, M)
            lengths = torch.full((len(batch),), windows.frames, device=self.device)
            vectors = self._embed_features(features, lengths).float().cpu().numpy()
            np.add.at(sums, [row for row, _ in batch], unit_length(vectors))
        return unit_length(sums)

    def _windows(self, wave: Wave, windows: Windows) -> Iterator[Tensor]:
        """Features (F, M) of each window: one mel of the zero-padded wave, sliced."""
        hop = self.network.hop_samples
        starts = windows.starts(len(wave), hop)
        samples = max(len(wave), (starts[-1] + windows.frames) * hop)
        padded = torch.zeros(1, samples, device=self.device)
        padded[0, : len(wave)] = torch.from_numpy(np.ascontiguousarray(wave))
        features, _ = self.network.features(padded, torch.tensor([samples], device=self.device))
        for start in starts:
            yield features[0, start : start + windows.frames]


def _chunks(items: Iterable[tuple[int, Tensor]], size: int) -> Iterator[list[tuple[int, Tensor]]]:
    chunk: list[tuple[int, Tensor]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
