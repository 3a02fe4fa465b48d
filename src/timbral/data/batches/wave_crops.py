"""Batches of random crops of a store's recordings."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from timbral.audio.decode import SAMPLE_RATE, resample
from timbral.data.augment.augment_config import SpeedConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.sampler import SpeakerSampler, number_speakers
from timbral.data.batches.source import BatchSource
from timbral.data.prepared.store import Store
from timbral.data.random_streams import Stream, random_generator
from timbral.io.types import Ints

__all__ = ["WaveCrops"]

PCM_TO_FLOAT = np.float32(1 / 32_768)


class WaveCrops(BatchSource[WaveBatch]):
    """Random crops of the store's `rows`, in batches of S speakers × U utterances.

    A batch depends only on (seed, step), each of its crops and their augmentation only on (seed,
    step, index in the global batch): so a process that makes only its own rows makes the same ones
    as a single process.
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
        self._new_speakers = speed.new_speakers
        # The sampler draws items. With N rows of S speakers, K speeds that make new speakers give
        #
        #     item       0 … N-1       N … 2N-1      …   (K-1)N … KN-1
        #     speed      first         second        …   last
        #     speaker    0 … S-1       S … 2S-1      …   (K-1)S … KS-1
        #
        # Without new speakers an item is a row, and its speed is drawn each time.
        copies = len(speed.factors) if speed.new_speakers else 1
        recorded = number_speakers(store, rows, config)
        self._item_rows = np.tile(rows, copies)
        self._item_speeds = np.repeat(np.arange(copies), len(rows))
        self._recorded_speakers = np.tile(recorded, copies)
        speakers = self._recorded_speakers + (int(recorded.max()) + 1) * self._item_speeds
        self._sampler = SpeakerSampler.of_data(store, self._item_rows, speakers, config, seed)

    @property
    def num_speakers(self) -> int:
        return self._sampler.num_speakers

    def batch(self, step: int, rows: slice = slice(None)) -> WaveBatch:
        speakers, drawn = self._sampler.batch(step)  # (S,), (S, U)
        items = drawn.ravel()  # (B,)
        samples = self._config.crop_samples(self._seed, step)
        # Drawn for the whole batch, then cut: a process's numbers do not depend on its rows.
        uniform = random_generator(self._seed, Stream.CROP_OFFSETS, step).random((len(items), 2))
        drawn_speeds = (uniform[rows, 1] * len(self._speeds)).astype(np.int64)
        speeds = self._item_speeds[items[rows]] if self._new_speakers else drawn_speeds  # (B,)
        waves = np.empty((len(speeds), samples), dtype=np.float32)
        for wave, item, speed, offset in zip(
            waves, items[rows], speeds, uniform[rows, 0], strict=True
        ):
            self._fill(wave, item, self._speeds[speed], offset)
        plan = masks = None
        if self._augmenter:
            crop = partial(self._crop_of_item, items, samples)
            recorded = self._recorded_speakers[items]
            plan = self._augmenter.plan(step, recorded, rows, samples, crop)
            masks = self._augmenter.masks(step, len(items), rows)
        return WaveBatch(
            waves=torch.from_numpy(waves),
            lengths=torch.full((len(waves),), samples),
            speakers=torch.from_numpy(np.repeat(speakers, drawn.shape[1])[rows]),
            rows=torch.from_numpy(self._item_rows[items[rows]]),
            speeds=torch.from_numpy(speeds),
            masks=masks,
            plan=plan,
        )

    def _fill(self, wave: NDArray[np.float32], item: int, speed: float, offset: float) -> None:
        """Fill a wave (T,) with a crop at a speed, from an offset in [0, 1) on."""
        # At speed 1.1 the crop is read as if recorded at 17.6 kHz: it gets shorter and higher.
        rate = round(SAMPLE_RATE * speed)
        row, samples = int(self._item_rows[item]), len(wave)
        if rate == SAMPLE_RATE:
            wave[:] = self._crop(row, offset, samples)
            wave *= PCM_TO_FLOAT  # faster than one product that has to convert
            return
        pcm = self._crop(row, offset, math.ceil(samples * rate / SAMPLE_RATE) + 1)
        wave[:] = resample(pcm * PCM_TO_FLOAT, rate, SAMPLE_RATE)[:samples]

    def _crop(self, row: int, offset: float, samples: int) -> NDArray[np.int16]:
        """A crop of a row (T,), with an offset in [0, 1) of its possible starts."""
        start = int(offset * max(1, int(self._store.samples[row]) - samples + 1))
        pcm = self._store.pcm(row, start, samples)
        return pcm if len(pcm) == samples else np.resize(pcm, samples)  # a short one is repeated

    def _crop_of_item(
        self, items: Ints, samples: int, index: int, offset: float
    ) -> NDArray[np.int16]:
        """Another crop (T,) of an utterance of the batch, for babble."""
        return self._crop(int(self._item_rows[items[index]]), offset, samples)
