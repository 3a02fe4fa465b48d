"""Augmentation of batches: what is drawn on the CPU, and what a device then applies.

Every draw follows from (seed, step, index in the global batch) and the kind of augmentation, so
neither ranks, workers nor another kind's settings change it. A rank that holds a slice of the
batch makes the draws of all and reads the sounds of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.audio.decode import SAMPLE_RATE
from timbral.data.augment.config import (
    AugmentConfig,
    BabbleConfig,
    BandConfig,
    GainConfig,
    MixConfig,
    SpecConfig,
)
from timbral.data.augment.effects import (
    Bands,
    FeatureMasks,
    Gains,
    Mix,
    Reverberation,
    band_limit,
    gain,
    limit_peak,
    mix,
    reverberate,
)
from timbral.data.augment.sounds import Rooms, Sounds
from timbral.data.streams import AugmentStream, Stream, random_generator

__all__ = ["AugmentPlan", "Augmenter", "BabbleSource"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BabbleSource = Callable[[int, float], NDArray[np.int16]]
"""Item of the global batch, place in [0, 1) -> another crop of its utterance (T,)"""


@dataclass(frozen=True)
class AugmentPlan:
    """What happens to one batch, in this order; None for what does not."""

    reverberation: Reverberation | None = None
    music: Mix | None = None
    babble: Mix | None = None
    noise: Mix | None = None
    late_reverberation: Reverberation | None = None
    """after the sounds, as in ddvc; it rings on their sound too"""
    bands: Bands | None = None
    gains: Gains | None = None

    def apply(self, waves: Tensor) -> Tensor:
        """Waves (B, T), each filled to its end -> augmented waves (B, T), none above 1."""
        waves = waves.clone()
        if self.reverberation is not None:
            reverberate(waves, self.reverberation)
        for sounds in (self.music, self.babble, self.noise):
            if sounds is not None:
                mix(waves, sounds)
        if self.late_reverberation is not None:
            reverberate(waves, self.late_reverberation)
        if self.bands is not None:
            band_limit(waves, self.bands)
        if self.gains is not None:
            gain(waves, self.gains)
        limit_peak(waves)
        return waves


class Augmenter:
    """Draws the plans of batches. DataError when sounds are missing or none can be read."""

    def __init__(self, config: AugmentConfig, seed: int, cache: Path) -> None:
        self.config = config
        self._seed = seed
        self._sounds: dict[AugmentStream, Sounds] = {}
        for stream, key in ((AugmentStream.MUSIC, "music"), (AugmentStream.NOISE, "noise")):
            section: MixConfig = getattr(config, key)
            if section.probability:
                self._sounds[stream] = Sounds.open(f"augment.{key}", section.paths, cache)
        self._rooms: Rooms | None = None
        if config.rooms.probability:
            found = Sounds.open("augment.rooms", config.rooms.paths, cache, rooms=True)
            self._rooms, self._sounds[AugmentStream.RIR] = Rooms(found), found

    @property
    def failures(self) -> list[str]:
        """Recordings of noise, music and rooms that could not be read, with the reason."""
        return [reason for sounds in self._sounds.values() for reason in sounds.failures]

    def plan(
        self, step: int, people: Ints, part: slice, samples: int, babble: BabbleSource
    ) -> AugmentPlan:
        """The plan of `part` of the global batch, whose rows are spoken by `people` (B,)."""
        draw = _Draws(self._seed, step, len(people), part)
        rooms = self._reverberation(draw, samples)
        late = self.config.rooms.after_sounds
        return AugmentPlan(
            reverberation=None if late else rooms,
            music=self._mixed(draw, AugmentStream.MUSIC, self.config.music, samples),
            babble=_babble(draw, self.config.babble, people, babble),
            noise=self._mixed(draw, AugmentStream.NOISE, self.config.noise, samples),
            late_reverberation=rooms if late else None,
            bands=_bands(draw, self.config.band, samples),
            gains=_gains(draw, self.config.gain),
        )

    def masks(self, step: int, count: int, part: slice) -> FeatureMasks | None:
        """The masks of `part` of the global batch of `count` rows; of its features, not waves."""
        config = self.config.spec
        if not config.probability:
            return None
        return _masks(_Draws(self._seed, step, count, part), config)

    def _mixed(
        self, draw: _Draws, stream: AugmentStream, config: MixConfig, samples: int
    ) -> Mix | None:
        rows, values = draw.chosen(stream, config.probability, 3)
        if not rows.size:
            return None
        sounds = self._sounds[stream]
        crops = [sounds.crop(choice, place, samples) for choice, place, _ in values]
        return Mix(_rows(rows), torch.from_numpy(np.stack(crops)), _ratios(values[:, 2], config))

    def _reverberation(self, draw: _Draws, samples: int) -> Reverberation | None:
        rows, values = draw.chosen(AugmentStream.RIR, self.config.rooms.probability, 1)
        if self._rooms is None or not rows.size:
            return None
        return Reverberation(_rows(rows), self._rooms.spectra(values[:, 0], samples))


@dataclass(frozen=True)
class _Draws:
    """Numbers in [0, 1) of one step, the same for each item however the batch is cut."""

    seed: int
    step: int
    count: int
    part: slice

    def table(self, stream: AugmentStream, columns: int) -> Floats:  # (B of the part, columns)
        generator = random_generator(self.seed, Stream.AUGMENTATION, stream, self.step)
        return generator.random((self.count, columns))[self.part]

    def chosen(
        self, stream: AugmentStream, probability: float, columns: int
    ) -> tuple[Ints, Floats]:
        """Rows of the part that are drawn (n,), and their further numbers (n, columns)."""
        if not probability:
            return np.empty(0, dtype=np.int64), np.empty((0, columns))
        table = self.table(stream, 1 + columns)
        rows = np.flatnonzero(table[:, 0] < probability)
        return rows, table[rows, 1:]


def _rows(rows: Ints) -> Tensor:
    return torch.from_numpy(rows)


def _between(values: Floats, limits: Sequence[float]) -> Floats:
    return np.asarray(limits[0] + values * (limits[1] - limits[0]))


def _ratios(values: Floats, config: MixConfig | BabbleConfig) -> Tensor:
    """Of the sound's RMS level to the speech's, for a signal-to-noise ratio in dB."""
    return torch.from_numpy((10 ** (-_between(values, config.snr_db) / 20)).astype(np.float32))


def _babble(draw: _Draws, config: BabbleConfig, people: Ints, source: BabbleSource) -> Mix | None:
    """Several other people of the global batch at once, each at the same level."""
    fewest, most = config.voices
    rows, values = draw.chosen(AugmentStream.BABBLE, config.probability, 2 + 2 * most)
    first = draw.part.indices(len(people))[0]
    mixed = []
    for row, own in zip(rows, values, strict=True):
        others = np.flatnonzero(people != people[first + row])
        count = min(fewest + int(own[0] * (most - fewest + 1)), len(others))
        voices = []
        for choice, place in own[2:].reshape(most, 2)[:count]:
            item = int(others[int(choice * len(others))])
            others = others[people[others] != people[item]]  # one voice each
            voices.append(_leveled(source(item, place)))
            if not others.size:
                break
        mixed.append(np.sum(voices, axis=0))
    if not mixed:
        return None
    return Mix(_rows(rows), torch.from_numpy(np.stack(mixed)), _ratios(values[:, 1], config))


def _leveled(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    wave = pcm.astype(np.float32)
    return wave / np.float32(max(1.0, float(np.sqrt(np.mean(np.square(wave))))))


def _bands(draw: _Draws, config: BandConfig, samples: int) -> Bands | None:
    """Bands whose slopes are a tenth of an octave wide."""
    rows, values = draw.chosen(AugmentStream.BANDPASS, config.probability, 2)
    if not rows.size:
        return None
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    responses = np.ones((len(rows), len(hz)), dtype=np.float32)
    for response, low, high in zip(
        responses,
        _between(values[:, 0], config.low_hz),
        _between(values[:, 1], config.high_hz),
        strict=True,
    ):
        octaves = np.log2(np.maximum(hz, 1e-3))
        inside = np.minimum(octaves - np.log2(max(low, 1e-6)), np.log2(high) - octaves) / 0.1
        response[:] = np.sin(np.pi / 2 * (np.clip(inside, -0.5, 0.5) + 0.5))
    return Bands(_rows(rows), torch.from_numpy(responses))


def _gains(draw: _Draws, config: GainConfig) -> Gains | None:
    rows, values = draw.chosen(AugmentStream.GAIN, config.probability, 1)
    factors = 10 ** (_between(values[:, 0], config.db) / 20)
    return Gains(_rows(rows), torch.from_numpy(factors.astype(np.float32))) if rows.size else None


def _masks(draw: _Draws, config: SpecConfig) -> FeatureMasks:
    count = config.time_masks + config.frequency_masks
    table = torch.from_numpy(
        draw.table(AugmentStream.SPEC_AUGMENT, 1 + 2 * count).astype(np.float32)
    )
    spans = table[:, 1:].reshape(len(table), count, 2)
    widest = torch.tensor(
        [config.time_share] * config.time_masks + [config.frequency_share] * config.frequency_masks
    )
    widths = spans[:, :, 0] * widest * (table[:, :1] < config.probability)  # 0 masks nothing
    spans = torch.stack([widths, spans[:, :, 1]], dim=2)
    return FeatureMasks(spans[:, : config.time_masks], spans[:, config.time_masks :])
