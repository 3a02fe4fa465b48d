"""Augmentation of batches: drawn on the CPU, and then applied on a device.

Every draw depends only on (seed, step, index in the global batch) and the kind of augmentation, so
neither the number of processes nor the settings of another kind change it. A process with some rows
of the batch draws for all of them, and reads the recordings for its own.
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
from timbral.data.augment.augment_config import (
    AugmentConfig,
    BabbleConfig,
    BackgroundConfig,
    BandpassConfig,
    GainConfig,
    SpecAugmentConfig,
    TelephoneConfig,
)
from timbral.data.augment.effects import (
    Background,
    Bandpass,
    FeatureMasks,
    Gain,
    Reverberation,
    add_background,
    apply_bandpass,
    apply_gain,
    limit_peak,
    reverberate,
)
from timbral.data.augment.rir import RoomImpulseResponses
from timbral.data.augment.sound_files import Recordings
from timbral.data.augment.telephone import Telephone, apply_telephone
from timbral.data.random_streams import AugmentStream, Stream, random_generator
from timbral.io.cache import cache_folder
from timbral.io.types import Floats, Ints

__all__ = ["AugmentPlan", "Augmenter", "BabbleSource"]

BabbleSource = Callable[[int, float], NDArray[np.int16]]
"""Index in the global batch, offset in [0, 1) -> another crop of that utterance (T,)"""


@dataclass(frozen=True)
class AugmentPlan:
    """The effects on one batch, in this order; None for effects that are off."""

    reverberation: Reverberation | None = None
    """on the speech only"""
    music: Background | None = None
    babble: Background | None = None
    noise: Background | None = None
    reverberation_after_noise: Reverberation | None = None
    """on speech, music, babble and noise together, as in ddvc"""
    bandpass: Bandpass | None = None
    telephone: Telephone | None = None
    gain: Gain | None = None

    def apply(self, waves: Tensor) -> Tensor:
        """Waves (B, T) without padding -> augmented waves (B, T), none above 1."""
        waves = waves.clone()
        if self.reverberation is not None:
            reverberate(waves, self.reverberation)
        for background in (self.music, self.babble, self.noise):
            if background is not None:
                add_background(waves, background)
        if self.reverberation_after_noise is not None:
            reverberate(waves, self.reverberation_after_noise)
        if self.bandpass is not None:
            apply_bandpass(waves, self.bandpass)
        if self.telephone is not None:
            apply_telephone(waves, self.telephone)
        if self.gain is not None:
            apply_gain(waves, self.gain)
        limit_peak(waves)
        return waves


class Augmenter:
    """Draws the plans of batches.

    Decoded recordings are stored in `cache`, by default in the user's cache folder. Raises
    DataError if recordings are needed, and none are given or none can be read.
    """

    def __init__(self, config: AugmentConfig, seed: int, cache: Path | None = None) -> None:
        self.config = config
        self._seed = seed
        self._music = _recordings("augment.music", config.music, cache)
        self._noise = _recordings("augment.noise", config.noise, cache)
        self._rirs: RoomImpulseResponses | None = None
        if config.rir.probability:
            folder = cache or _default_cache()
            self._rirs = RoomImpulseResponses.open("augment.rir", config.rir.paths, folder)

    @property
    def failures(self) -> list[str]:
        """The recordings of music, noise and RIRs that could not be read, with the reason."""
        opened = [self._music, self._noise, self._rirs.recordings if self._rirs else None]
        return [reason for recordings in opened if recordings for reason in recordings.failures]

    def plan(
        self, step: int, speakers: Ints, rows: slice, samples: int, babble: BabbleSource
    ) -> AugmentPlan:
        """The plan of some rows of the global batch, whose utterances are of `speakers` (B,)."""
        draws = _Draws(self._seed, step, len(speakers), rows)
        reverberation = self._reverberation(draws, samples)
        after_noise = self.config.rir.apply_after_noise
        return AugmentPlan(
            reverberation=None if after_noise else reverberation,
            music=_background(draws, AugmentStream.MUSIC, self.config.music, self._music, samples),
            babble=_babble(draws, self.config.babble, speakers, samples, babble),
            noise=_background(draws, AugmentStream.NOISE, self.config.noise, self._noise, samples),
            reverberation_after_noise=reverberation if after_noise else None,
            bandpass=_bandpass(draws, self.config.bandpass, samples),
            telephone=_telephone(draws, self.config.telephone),
            gain=_gain(draws, self.config.gain),
        )

    def masks(self, step: int, batch_size: int, rows: slice) -> FeatureMasks | None:
        """SpecAugment's masks of some rows of the global batch, for its features."""
        config = self.config.spec_augment
        if not config.probability:
            return None
        return _masks(_Draws(self._seed, step, batch_size, rows), config)

    def _reverberation(self, draws: _Draws, samples: int) -> Reverberation | None:
        rows, values = draws.chosen(AugmentStream.RIR, self.config.rir.probability, 1)
        if self._rirs is None or not rows.size:
            return None
        return Reverberation(torch.from_numpy(rows), self._rirs.spectra(values[:, 0], samples))


@dataclass(frozen=True)
class _Draws:
    """Random numbers in [0, 1) for one step; an utterance's do not depend on the other rows."""

    seed: int
    step: int
    batch_size: int
    """of the global batch"""
    rows: slice
    """the rows of the global batch to draw for"""

    def uniform(self, stream: AugmentStream, columns: int) -> Floats:
        """Numbers for each of the rows (n, columns)."""
        generator = random_generator(self.seed, Stream.AUGMENTATION, stream, self.step)
        return generator.random((self.batch_size, columns))[self.rows]

    def chosen(
        self, stream: AugmentStream, probability: float, columns: int
    ) -> tuple[Ints, Floats]:
        """Which of the rows are augmented (n,), and further numbers of these (n, columns)."""
        if not probability:
            return np.empty(0, dtype=np.int64), np.empty((0, columns))
        uniform = self.uniform(stream, 1 + columns)
        rows = np.flatnonzero(uniform[:, 0] < probability)
        return rows, uniform[rows, 1:]


def _recordings(section: str, config: BackgroundConfig, cache: Path | None) -> Recordings | None:
    if not config.probability:
        return None
    return Recordings.open(section, config.paths, cache or _default_cache())


def _default_cache() -> Path:
    """Created only if something must be stored, because not every user has a home folder."""
    return cache_folder() / "recordings"


def _between(values: Floats, limits: Sequence[float]) -> Floats:
    return np.asarray(limits[0] + values * (limits[1] - limits[0]))


def _ratios(values: Floats, snr_db: Sequence[float]) -> Tensor:
    """RMS level of the background over that of the speech, for an SNR within `snr_db`."""
    return torch.from_numpy((10 ** (-_between(values, snr_db) / 20)).astype(np.float32))


def _background(
    draws: _Draws,
    stream: AugmentStream,
    config: BackgroundConfig,
    recordings: Recordings | None,
    samples: int,
) -> Background | None:
    rows, values = draws.chosen(stream, config.probability, 3)
    if recordings is None or not rows.size:
        return None
    crops = [recordings.crop(choice, offset, samples) for choice, offset, _ in values]
    ratios = _ratios(values[:, 2], config.snr_db)
    return Background(torch.from_numpy(rows), torch.from_numpy(np.stack(crops)), ratios)


def _babble(
    draws: _Draws, config: BabbleConfig, speakers: Ints, samples: int, source: BabbleSource
) -> Background | None:
    """Several other speakers of the global batch at once, all at the same RMS level."""
    fewest, most = config.num_speakers
    rows, values = draws.chosen(AugmentStream.BABBLE, config.probability, 2 + 2 * most)
    if not rows.size:
        return None
    first = draws.rows.indices(len(speakers))[0]
    signals = np.zeros((len(rows), samples), dtype=np.float32)
    # the numbers of a row: how many speakers, the SNR, then (choice, offset) of each
    for signal, row, numbers in zip(signals, rows, values, strict=True):
        count = fewest + int(numbers[0] * (most - fewest + 1))
        others = np.flatnonzero(speakers != speakers[first + row])
        for choice, offset in numbers[2:].reshape(most, 2)[:count]:
            if not others.size:  # fewer speakers in the batch than were drawn
                break
            index = int(others[int(choice * len(others))])
            signal += _normalized(source(index, offset))
            others = others[speakers[others] != speakers[index]]  # each speaker once
    ratios = _ratios(values[:, 1], config.snr_db)
    return Background(torch.from_numpy(rows), torch.from_numpy(signals), ratios)


def _normalized(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """The wave at RMS level 1; a silent one stays silent."""
    wave = pcm.astype(np.float32)
    return wave / np.float32(max(1.0, float(np.sqrt(np.mean(np.square(wave))))))


def _bandpass(draws: _Draws, config: BandpassConfig, samples: int) -> Bandpass | None:
    """Filters whose slopes are a tenth of an octave wide."""
    rows, values = draws.chosen(AugmentStream.BANDPASS, config.probability, 2)
    if not rows.size:
        return None
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    octaves = np.log2(np.maximum(hz, 1e-3))
    responses = np.ones((len(rows), len(hz)), dtype=np.float32)
    for response, low, high in zip(
        responses,
        _between(values[:, 0], config.low_hz),
        _between(values[:, 1], config.high_hz),
        strict=True,
    ):
        # distance to the nearer edge, in slope widths: -0.5 is all cut, 0.5 is all kept
        inside = np.minimum(octaves - np.log2(max(low, 1e-6)), np.log2(high) - octaves) / 0.1
        response[:] = np.sin(np.pi / 2 * (np.clip(inside, -0.5, 0.5) + 0.5))
    return Bandpass(torch.from_numpy(rows), torch.from_numpy(responses))


def _telephone(draws: _Draws, config: TelephoneConfig) -> Telephone | None:
    """One of the two laws, equally often."""
    rows, values = draws.chosen(AugmentStream.TELEPHONE, config.probability, 1)
    if not rows.size:
        return None
    return Telephone(torch.from_numpy(rows), torch.from_numpy(values[:, 0] < 0.5))


def _gain(draws: _Draws, config: GainConfig) -> Gain | None:
    rows, values = draws.chosen(AugmentStream.GAIN, config.probability, 1)
    if not rows.size:
        return None
    factors = 10 ** (_between(values[:, 0], config.db) / 20)
    return Gain(torch.from_numpy(rows), torch.from_numpy(factors.astype(np.float32)))


def _masks(draws: _Draws, config: SpecAugmentConfig) -> FeatureMasks:
    count = config.time_masks + config.frequency_masks
    uniform = draws.uniform(AugmentStream.SPEC_AUGMENT, 1 + 2 * count).astype(np.float32)
    table = torch.from_numpy(uniform)  # (n, 1 + 2 · count): apply at all?, then (width, offset)
    masks = table[:, 1:].reshape(len(table), count, 2)
    widest = torch.tensor(
        [config.max_time_fraction] * config.time_masks
        + [config.max_frequency_fraction] * config.frequency_masks
    )
    widths = masks[:, :, 0] * widest * (table[:, :1] < config.probability)  # 0 masks nothing
    masks = torch.stack([widths, masks[:, :, 1]], dim=2)
    return FeatureMasks(masks[:, : config.time_masks], masks[:, config.time_masks :])
