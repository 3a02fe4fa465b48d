"""Batches of random crops from a store."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.audio.decode import SAMPLE_RATE, resample
from timbral.data.augment.config import SpeedConfig
from timbral.data.augment.effects import FeatureMasks, mask_features
from timbral.data.augment.plan import Augmenter, AugmentPlan
from timbral.data.batches.config import DataConfig
from timbral.data.batches.sampler import CYCLE, Ints, Pool, SpeakerBatches, shared_out
from timbral.data.prepared.store import Store
from timbral.data.streams import Stream, random_generator
from timbral.errors import ConfigError

__all__ = ["Batch", "CropBatches", "prefetch", "speaker_pools"]

SCALE = np.float32(1 / 32_768)


@dataclass(frozen=True)
class Batch:
    """Waves (B, T), zero behind `lengths` (B,); speaker numbers (B,); the store's rows (B,)."""

    waves: Tensor
    lengths: Tensor
    speakers: Tensor
    rows: Tensor
    masks: FeatureMasks | None = None
    """of the features that an encoder makes of the waves"""
    plan: AugmentPlan | None = None
    """the augmentation that is still to be applied to the waves"""

    def to(self, device: torch.device) -> Batch:
        parts = {name: part.to(device) for name, part in vars(self).items() if part is not None}
        return Batch(**parts)

    def augmented(self) -> Batch:
        """The batch with its plan applied."""
        waves = self.waves if self.plan is None else self.plan.apply(self.waves)
        return replace(self, waves=waves, plan=None)

    def masked(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        """Features (B, F, M) of this batch with its masks."""
        if self.masks is None:
            return features
        return mask_features(features, frame_lengths, self.masks)

    def split(self, count: int) -> list[Batch]:
        """The rows of an augmented batch in `count` batches of sizes as equal as they can be."""
        tensors = (self.waves, self.lengths, self.speakers, self.rows)
        masks = [None] * count if self.masks is None else self.masks.split(count)
        columns = (*(tensor.tensor_split(count) for tensor in tensors), masks)
        return [Batch(*parts) for parts in zip(*columns, strict=True)]


class CropBatches:
    """Random crops of the store's `rows`, grouped into S × U batches.

    Any step's batch follows from (seed, step) alone; every crop and every augmentation from
    (seed, step, index in the batch).
    """

    def __init__(
        self,
        store: Store,
        rows: Ints,
        config: DataConfig,
        seed: int,
        augmenter: Augmenter | None = None,
    ) -> None:
        self._store = store
        self._config = config
        self._seed = seed
        self._augmenter = augmenter
        speed = augmenter.config.speed if augmenter else SpeedConfig()
        self._speeds = np.array(speed.factors)
        self._as_speakers = speed.as_speakers
        copies = len(speed.factors) if speed.as_speakers else 1
        self._rows = np.tile(rows, copies)
        _, people = np.unique(store.speaker_codes[rows], return_inverse=True)
        # number = factor × speakers + speaker: at factor 0, numbers are those without factors
        self._copy = np.repeat(np.arange(copies), len(rows))
        self._people = np.tile(people, copies)
        speakers = self._people + (int(people.max()) + 1) * self._copy
        pools = speaker_pools(config, speakers, store.table["corpus"].to_numpy()[self._rows])
        sessions = None
        if config.sessions == "distinct":
            _, sessions = np.unique(
                store.table["session"].to_numpy()[self._rows], return_inverse=True
            )
        self._sampler = SpeakerBatches(
            speakers, pools, config.utterances_per_speaker, seed, sessions
        )

    @property
    def num_speakers(self) -> int:
        """How many speakers `Batch.speakers` tells apart."""
        return self._sampler.num_speakers

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """The batch of a step counted from 0, or that part of it which one rank trains on."""
        speakers, drawn = self._sampler.batch(step)  # (S,), (S, U)
        items = drawn.ravel()  # (B,)
        samples = self._config.crop_samples(self._seed, step)
        places = random_generator(self._seed, Stream.CROP_OFFSETS, step).random((len(items), 2))
        own = range(*part.indices(len(items)))
        waves = np.empty((len(own), samples), dtype=np.float32)
        for wave, index in zip(waves, own, strict=True):
            self._crop(items[index], places[index], wave)
        plan = masks = None
        if self._augmenter:

            def babble(index: int, place: float) -> NDArray[np.int16]:
                return self._cut(int(self._rows[items[index]]), place, samples)

            plan = self._augmenter.plan(step, self._people[items], part, samples, babble)
            masks = self._augmenter.masks(step, len(items), part)
        return Batch(
            torch.from_numpy(waves),
            torch.full((len(own),), samples),
            torch.from_numpy(np.repeat(speakers, drawn.shape[1])[part]),
            torch.from_numpy(self._rows[items[part]]),
            masks,
            plan,
        )

    def _crop(self, item: int, places: NDArray[np.float64], wave: NDArray[np.float32]) -> None:
        """Fill a wave (samples,) with a random crop at its speed."""
        place, choice = places
        number = self._copy[item] if self._as_speakers else int(choice * len(self._speeds))
        rate = round(SAMPLE_RATE * self._speeds[number])
        row, samples = int(self._rows[item]), len(wave)
        if rate == SAMPLE_RATE:
            wave[:] = self._cut(row, place, samples)
            wave *= SCALE  # faster than one product that has to convert
            return
        pcm = self._cut(row, place, math.ceil(samples * rate / SAMPLE_RATE) + 1)
        wave[:] = resample(pcm * SCALE, rate, SAMPLE_RATE)[:samples]

    def _cut(self, row: int, place: float, samples: int) -> NDArray[np.int16]:
        """A crop of a row (samples,), its place told by a number in [0, 1)."""
        start = int(place * max(1, int(self._store.samples[row]) - samples + 1))
        pcm = self._store.pcm(row, start, samples)
        return pcm if len(pcm) == samples else np.resize(pcm, samples)

    def __call__(self, first_step: int, part: slice = slice(None)) -> Iterator[Batch]:
        """Endless batches, or the same part of each, from a step on."""
        return (self.batch(step, part) for step in count(first_step))


def speaker_pools(config: DataConfig, speakers: Ints, corpora: NDArray[Any]) -> list[Pool]:
    """Which speakers a batch is made of, and how many of each corpus, or how often."""
    names, first_rows = np.unique(speakers, return_index=True)
    of_speaker = corpora[first_rows]
    present, sizes = np.unique(of_speaker, return_counts=True)
    weights = config.corpus_weights
    if weights and weights.keys() != set(present.tolist()):
        raise ConfigError(
            f"data.corpus_weights must name the corpora of the data, {', '.join(present)}; "
            f"got {weights}"
        )
    size = config.speakers_per_batch
    if config.one_corpus_per_batch:
        often = weights or dict(zip(present.tolist(), sizes.tolist(), strict=True))
        return [
            Pool(corpus, names[of_speaker == corpus], size, turns)
            for corpus, turns in shared_out(CYCLE, often).items()
            if turns
        ]
    if not weights:
        return [Pool("the data", names, size)]
    return [
        Pool(corpus, names[of_speaker == corpus], share)
        for corpus, share in shared_out(size, weights).items()
        if share
    ]


def prefetch(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, made by a thread while the model computes."""
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        ahead = deque(pool.submit(next, batches) for _ in range(depth))
        while True:
            yield ahead.popleft().result()
            ahead.append(pool.submit(next, batches))
