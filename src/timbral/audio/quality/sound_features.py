"""Statistics of windows of frames that distinguish speech from noise, tones and music.

Speech changes about four times a second (Scheirer & Slaney 1997), in most bands at once, has many
frames much weaker than the mean, and voiced frames whose pitch glides.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from timbral.audio.quality.short_time import FRAME_SECONDS, NUM_BANDS, Frames
from timbral.io.types import Vectors

__all__ = ["HOP_FRAMES", "WINDOW_FRAMES", "windows_of"]

WINDOW_FRAMES = 48
"""1.5 s: the shortest that shows several syllables"""
HOP_FRAMES = 24
RANGE_DB = 45.0
"""dB below the loudest frame, where levels are cut off: below that, pauses differ only by equipment
"""
MODULATION_HZ = (0.5, 2.0, 3.5, 6.0, 9.0, 15.7)
NUM_CEPSTRA = 6


def windows_of(frames: Frames) -> tuple[Vectors, Vectors]:
    """Features (W, D) of windows of frames, and the level (W,) in dBFS of each window.

    A recording shorter than a window is repeated until it fills one.
    """
    count = frames.levels.size
    starts = np.arange(0, max(1, count - WINDOW_FRAMES + 1), HOP_FRAMES)
    if count > WINDOW_FRAMES and starts[-1] != count - WINDOW_FRAMES:
        starts = np.append(starts, count - WINDOW_FRAMES)
    index = (starts[:, None] + np.arange(WINDOW_FRAMES)) % count  # (W, frames)
    features, levels = [], []
    for some in np.array_split(index, max(1, len(index) // 512)):  # bounds memory
        features.append(_features(frames, some))
        levels.append(frames.levels[some].max(axis=1))
    return np.concatenate(features), np.concatenate(levels)


def _features(frames: Frames, index: NDArray[np.intp]) -> Vectors:
    bands = frames.bands[index]  # (W, L, M)
    level = frames.bands.max(axis=1)[index]
    top = level.max(axis=1, keepdims=True)
    bands = np.maximum(bands, top[:, :, None] - RANGE_DB)
    level = np.maximum(level, top - RANGE_DB) - top  # (W, L), 0 at the loudest
    weight = 10 ** (level / 20)
    weight /= weight.sum(axis=1, keepdims=True)
    columns = [
        *_modulation(bands),
        *_dynamics(level, bands),
        *_weighted(frames.flatness[index], weight),
        *_harmonic(frames, index, weight),
        *_shape(bands, weight),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _modulation(bands: Vectors) -> list[Vectors]:
    """Fractions of the bands' modulation by rate, in dB, and the total."""
    centered = bands - bands.mean(axis=1, keepdims=True)
    parts = np.square(_fourier() @ centered).mean(axis=2)  # (W, cosines and sines of the rates)
    total = parts.sum(axis=1) + 1.0
    fractions = [
        np.log((parts[:, inside].sum(axis=1) + 1.0) / total) for inside in _modulation_rates()
    ]
    return [*fractions, np.log(total)]


@lru_cache(maxsize=1)
def _fourier() -> Vectors:
    """Hann-windowed cosines, then sines, (2 * rates, WINDOW_FRAMES), of all rates but 0."""
    time = np.arange(WINDOW_FRAMES)
    phase = 2 * np.pi * np.arange(1, WINDOW_FRAMES // 2 + 1)[:, None] * time / WINDOW_FRAMES
    waves = np.concatenate([np.cos(phase), np.sin(phase)]) * np.hanning(WINDOW_FRAMES)
    return np.asarray(waves, dtype=np.float32)


@lru_cache(maxsize=1)
def _modulation_rates() -> list[NDArray[np.intp]]:
    """The rows of `_fourier` whose rates lie between two neighbors of MODULATION_HZ."""
    hertz = np.arange(1, WINDOW_FRAMES // 2 + 1) / (WINDOW_FRAMES * FRAME_SECONDS)
    hertz = np.concatenate([hertz, hertz])
    pairs = pairwise(MODULATION_HZ)
    return [np.flatnonzero((hertz >= low) & (hertz < high)) for low, high in pairs]


def _dynamics(level: Vectors, bands: Vectors) -> list[Vectors]:
    deviation = bands.std(axis=1)  # (W, M)
    mean = bands.mean(axis=2)  # (W, L)
    change = np.abs(np.diff(bands, axis=1)).mean(axis=2)
    power = 10 ** (level / 10)
    low = (power < 0.5 * power.mean(axis=1, keepdims=True)).mean(axis=1)
    return [
        deviation.mean(axis=1),
        deviation.min(axis=1),
        mean.std(axis=1) / (deviation.mean(axis=1) + 1.0),
        change.mean(axis=1),
        change.std(axis=1),
        np.abs(np.diff(mean, axis=1)).mean(axis=1),
        low,
        *_quantiles(level, 0.1, 0.5, 0.8),
    ]


def _quantiles(values: Vectors, *fractions: float) -> list[Vectors]:
    """Quantiles of each row; numpy's own function takes five times as long for such short rows."""
    ordered = np.sort(values, axis=1)
    return [ordered[:, round(fraction * (WINDOW_FRAMES - 1))] for fraction in fractions]


def _weighted(values: Vectors, weight: Vectors) -> list[Vectors]:
    mean = (values * weight).sum(axis=1)
    spread = np.sqrt(np.maximum(0, (np.square(values) * weight).sum(axis=1) - mean**2))
    return [mean, spread]


def _harmonic(frames: Frames, index: NDArray[np.intp], weight: Vectors) -> list[Vectors]:
    harmonicity, pitch = frames.harmonicity[index], frames.pitch[index]
    voiced = weight * harmonicity**2
    voiced = voiced / (voiced.sum(axis=1, keepdims=True) + 1e-9)
    jump = np.abs(np.diff(pitch, axis=1))
    both = np.minimum(voiced[:, 1:], voiced[:, :-1])
    steps = both.sum(axis=1) + 1e-9
    small = (both * (jump < 0.15)).sum(axis=1) / steps
    still = (both * (jump < 0.02)).sum(axis=1) / steps
    return [
        *_weighted(harmonicity, weight),
        *_quantiles(harmonicity, 0.9, 0.2),
        *_weighted(pitch, voiced),
        small,
        still,
    ]


def _shape(bands: Vectors, weight: Vectors) -> list[Vectors]:
    """Cepstra: the shape of the loud frames' spectrum, and how much it changes."""
    cepstra = bands @ _cosines()  # (W, L, K)
    mean = (cepstra * weight[:, :, None]).sum(axis=1)
    spread = np.square(cepstra - mean[:, None]) * weight[:, :, None]
    deviation = np.sqrt(spread.sum(axis=1))
    return [*mean.T, *deviation.T]


@lru_cache(maxsize=1)
def _cosines() -> Vectors:
    """The cosine transform (NUM_BANDS, NUM_CEPSTRA) of levels in bands, without the mean."""
    order, band = np.arange(1, NUM_CEPSTRA + 1), np.arange(NUM_BANDS)[:, None]
    basis = np.cos(np.pi * order * (band + 0.5) / NUM_BANDS) / NUM_BANDS
    return np.asarray(basis, dtype=np.float32)
