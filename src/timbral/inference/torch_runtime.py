"""The runtime of encoder networks, with torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import unit_length
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError
from timbral.inference.optimize import optimize, optimize_in_8_bits
from timbral.inference.runtime import no_progress
from timbral.inference.wave_batches import equal_segments, owner_means, rows_by_length
from timbral.io.devices import check_precision, float32_products
from timbral.io.types import Progress, Vectors

__all__ = ["SECONDS_PER_BATCH", "TorchRuntime"]

WINDOWS_PER_BATCH = {"cpu": 64, "cuda": 1024}
SECONDS_PER_BATCH = {"cpu": 16, "cuda": 2048}
"""padded seconds per batch of whole utterances; on a CPU limited by the cache"""
INT8_BATCHES = 3
"""factor of a batch's length in 8 bits, where numbers take less memory, and the fixed cost of a
call is a larger fraction"""
PADDED_SECONDS = 0.5
"""lengths of batches are multiples of this, because oneDNN caches compiled kernels by shape: with
few shapes CAM++ takes two thirds of the memory, and a tenth less time in bf16"""


class TorchRuntime:
    """A network on a device in a precision: from preprocessed waves (T,) to unit vectors (N, E)."""

    def __init__(
        self,
        network: SpeakerEncoder,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        self.device = torch.device(device)
        check_precision(precision, self.device)
        self.network = network.to(self.device).eval()
        self.precision = precision
        self.compile = compile
        self.progress: Progress = no_progress
        self._prepare()

    def _prepare(self) -> None:
        """Compile or optimize the network; the result cannot be pickled, and is for one device."""
        self._embed_features: Callable[[Tensor, Tensor], Tensor]
        if self.precision == "int8":
            if self.compile:
                raise ConfigError("compile is not available with precision int8; leave it out")
            self._embed_features = optimize_in_8_bits(self.network).embed_features
        elif self.compile:
            self._embed_features = torch.compile(self.network.embed_features, dynamic=True)
        else:
            optimized = optimize(self.network, self._dtype)
            self._embed_features = optimized.embed_features

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_embed_features"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    @property
    def seconds_per_batch(self) -> int:
        """Padded seconds per batch."""
        longer = INT8_BATCHES if self.precision == "int8" else 1
        return longer * SECONDS_PER_BATCH.get(self.device.type, 16)

    def to(self, device: str | torch.device) -> None:
        """Compute on another device from now on."""
        self.device = torch.device(device)
        self.network.to(self.device)
        self._prepare()

    @torch.inference_mode()
    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors:
        """Waves (T,) at the network's rate, `min_samples` or longer, to vectors (N, E).

        Each vector equals that of its wave alone: to 1e-5; in bf16 to 4e-3, because oneDNN sums in
        another order for other shapes of a batch; in tf32 to 1e-3; in int8 exactly. With `windows`
        it is the mean of their unit vectors. Without, utterances are embedded whole; those longer
        than `longest_seconds` are split into equal segments, whose unit vectors are averaged.
        """
        if not len(waves):
            return np.empty((0, self.network.embedding_dim), dtype=np.float32)
        if windows is None:
            return self._embed_whole(waves)
        frames = (self._wave_windows(wave, windows) for wave in waves)
        return self._embed_windowed(frames, windows, len(waves))

    @torch.inference_mode()
    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors:
        """Utterances of precomputed mels (F, M) to vectors (N, E), each the mean of its windows."""
        frames = (self._mel_windows(mel, windows) for mel in mels)
        return self._embed_windowed(frames, windows, len(mels))

    @torch.inference_mode()
    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors:
        """The unit vectors (W, E) of the windows of one wave (T,)."""
        return self._embed_frames(self._wave_windows(wave, windows), windows.frames)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def _features(self, waves: Sequence[Wave]) -> tuple[Tensor, Tensor]:
        """Features (B, F, M) and their numbers of frames (B,).

        In 8 bits they are computed for each wave alone, because a last bit, which depends on the
        batch, can visibly change a vector.
        """
        if self.precision != "int8":
            return self.network.features(*self._pad(waves))
        alone = [self.network.features(*self._pad([wave])) for wave in waves]
        features = pad_sequence([features[0] for features, _ in alone], batch_first=True)
        return features, torch.cat([frames for _, frames in alone])

    @contextmanager
    def _in_precision(self) -> Iterator[None]:
        with (
            float32_products(self.precision, self.device),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            yield

    def _embed_whole(self, waves: Sequence[Wave]) -> Vectors:
        longest = int(self.network.longest_seconds * self.network.sample_rate)
        segments, owners = equal_segments(waves, longest)
        limit = self.seconds_per_batch * self.network.sample_rate
        vectors = np.empty((len(segments), self.network.embedding_dim), dtype=np.float32)
        lengths = [len(segment) for segment in segments]
        done, total = 0, sum(lengths)
        with self._in_precision():
            for rows in rows_by_length(lengths, limit):
                features, frame_lengths = self._features([segments[row] for row in rows])
                embeddings = self._embed_features(features, frame_lengths)
                vectors[rows] = embeddings.float().cpu().numpy()
                done += sum(lengths[row] for row in rows)
                self.progress(done, total)
        return owner_means(unit_length(vectors), owners, len(waves))

    def _pad(self, waves: Sequence[Wave]) -> tuple[Tensor, Tensor]:
        """Waves padded with zeros (B, T), and their lengths (B,)."""
        lengths = torch.tensor([len(wave) for wave in waves])
        step = int(PADDED_SECONDS * self.network.sample_rate)
        padded = torch.zeros(len(waves), -(-int(lengths.max()) // step) * step)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = _tensor(wave)
        return padded.to(self.device), lengths.to(self.device)

    def _embed_windowed(
        self, utterances: Iterable[Iterator[Tensor]], windows: Windows, count: int
    ) -> Vectors:
        """Mean vectors of many utterances' windows, which are computed together."""
        owners: list[int] = []

        def all_windows() -> Iterator[Tensor]:
            for row, frames in enumerate(utterances):
                for window in frames:
                    owners.append(row)
                    yield window

        vectors = self._embed_frames(all_windows(), windows.frames)
        return owner_means(vectors, owners, count)

    def _embed_frames(self, windows: Iterator[Tensor], frames: int) -> Vectors:
        """From windows of features, (F, M) each, to unit vectors (W, E)."""
        size = WINDOWS_PER_BATCH.get(self.device.type, 64)
        batches = [np.empty((0, self.network.embedding_dim), dtype=np.float32)]
        with self._in_precision():
            while batch := list(islice(windows, size)):
                lengths = torch.full((len(batch),), frames, device=self.device)
                embeddings = self._embed_features(torch.stack(batch), lengths)
                batches.append(unit_length(embeddings.float().cpu().numpy()))
        return np.concatenate(batches)

    def _wave_windows(self, wave: Wave, windows: Windows) -> Iterator[Tensor]:
        """Features (F, M) of each window of a wave, as slices of one mel.

        The mel is of the zero-padded wave, or padded with zeros itself if the network needs that.
        """
        hop = self.network.hop_samples
        starts = windows.starts(len(wave), hop)
        samples = max(len(wave), (starts[-1] + windows.frames) * hop)
        padded = torch.zeros(1, samples, device=self.device)
        padded[0, : len(wave)] = _tensor(wave)
        end = len(wave) if self.network.zero_frames_after_end else samples
        features, _ = self.network.features(padded, torch.tensor([end], device=self.device))
        for start in starts:
            yield features[0, start : start + windows.frames]

    def _mel_windows(self, mel: Vectors, windows: Windows) -> Iterator[Tensor]:
        """Features (F, M) of each window of a mel, padded with zeros."""
        samples = len(mel) * self.network.hop_samples - 1  # the most samples with this many frames
        starts = windows.starts(samples, self.network.hop_samples)
        padded = torch.zeros(max(len(mel), starts[-1] + windows.frames), mel.shape[1])
        padded[: len(mel)] = _tensor(mel)
        for start in starts:
            yield padded[start : start + windows.frames].to(self.device)


def _tensor(values: Vectors | Wave) -> Tensor:
    """A tensor to copy from; of arrays that cannot be written, as of mapped files, a copy.

    torch warns of tensors that share the memory of such arrays.
    """
    return torch.from_numpy(np.require(values, requirements=("C", "W")))
