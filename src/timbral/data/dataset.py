"""Batches of random crops from a store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from timbral.audio import SAMPLE_RATE
from timbral.data.sampler import Ints, SpeakerBatches
from timbral.data.store import Store
from timbral.errors import ConfigError

__all__ = ["Batch", "CropBatches", "DataConfig", "prefetch"]

ALL = slice(None)


@dataclass(frozen=True)
class DataConfig:
    """S speakers × U utterances × crop: what one batch is."""

    speakers_per_batch: int = 64
    utterances_per_speaker: int = 10
    crop_seconds: float = 1.6
    """length of the random crop of each utterance; shorter utterances are repeated to fill it"""

    def __post_init__(self) -> None:
        if self.speakers_per_batch < 2 or self.utterances_per_speaker < 2:
            raise ConfigError(
                "GE2E needs data.speakers_per_batch >= 2 and data.utterances_per_speaker >= 2"
            )
        if not 0.2 <= self.crop_seconds <= 60:
            raise ConfigError(f"data.crop_seconds must lie in [0.2, 60]: {self.crop_seconds}")


@dataclass(frozen=True)
class Batch:
    """Waves (B, T), zero behind `lengths` (B,); speaker numbers (B,)."""

    waves: Tensor
    lengths: Tensor
    speakers: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.waves.to(device), self.lengths.to(device), self.speakers.to(device))

    def split(self, count: int) -> list[Batch]:
        """The same rows in `count` batches of sizes as equal as they can be."""
        columns = (c.tensor_split(count) for c in (self.waves, self.lengths, self.speakers))
        return [Batch(*parts) for parts in zip(*columns, strict=True)]


class CropBatches:
    """Random crops of the store's `rows`, grouped into S × U batches.

    Any step's batch follows from (seed, step) alone; every crop from (seed, step, index in
    the batch).
    """

    def __init__(self, store: Store, rows: Ints, config: DataConfig, seed: int) -> None:
        names, speakers = np.unique(store.speaker_codes[rows], return_inverse=True)
        self.num_speakers = len(names)
        self._store = store
        self._rows = rows
        self._crop = round(config.crop_seconds * SAMPLE_RATE)
        self._seed = seed
        self._sampler = SpeakerBatches(
            speakers, config.speakers_per_batch, config.utterances_per_speaker, seed
        )

    def batch(self, step: int, part: slice = ALL) -> Batch:
        """The batch of a step counted from 0, or a part of it."""
        speakers, utterances = self._sampler.batch(step)  # (S,), (S, U)
        rows = self._rows[utterances.ravel()]
        indices = range(len(rows))[part]
        waves = np.empty((len(indices), self._crop), dtype=np.float32)
        for place, index in enumerate(indices):
            row = rows[index]
            generator = np.random.default_rng([self._seed, 2, step, index])
            start = int(generator.integers(max(1, self._store.samples[row] - self._crop + 1)))
            pcm = self._store.pcm(row, start, self._crop)
            waves[place] = pcm if len(pcm) == self._crop else np.resize(pcm, self._crop)
        waves /= 32_768.0
        per_speaker = utterances.shape[1]
        return Batch(
            torch.from_numpy(waves),
            torch.full((len(indices),), self._crop),
            torch.from_numpy(np.repeat(speakers, per_speaker)[part]),
        )

    def __call__(self, first_step: int, part: slice = ALL) -> Iterator[Batch]:
        """Endless batches, or the same part of each, from a step on."""
        step = first_step
        while True:
            yield self.batch(step, part)
            step += 1


def prefetch(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, made by a thread while the model computes."""
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        ahead = deque(pool.submit(next, batches) for _ in range(depth))
        while True:
            yield ahead.popleft().result()
            ahead.append(pool.submit(next, batches))
