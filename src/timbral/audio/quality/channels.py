"""Whether a recording's channels contain the same scene, or different speakers."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from timbral.audio.decode import CANCELLATION
from timbral.audio.quality.short_time import frame_length
from timbral.io.types import Vectors

__all__ = ["channel_correlation", "mix"]

FLOOR_DB = 50.0
"""dB below the loudest frame of all channels; weaker frames are background"""
MOST_CHANNELS = 8
"""channels to compare at most: an array of 64 microphones has 2,016 pairs"""


def mix(samples: Vectors) -> Vectors:
    """Channels (T, C) to one (T,): their mean, or the loudest where that cancels out."""
    if samples.shape[1] == 1:
        return np.ascontiguousarray(samples[:, 0])
    mean = samples.mean(axis=1, dtype=np.float32)
    powers = [float(np.dot(channel, channel)) for channel in samples.T]
    if float(np.dot(mean, mean)) < CANCELLATION**2 * max(powers):
        return np.ascontiguousarray(samples[:, int(np.argmax(powers))])
    return np.asarray(mean)


def channel_correlation(samples: Vectors, sample_rate: int) -> float | None:
    """The lowest correlation of two channels' frame levels, in samples (T, C); None for mono.

    Levels are compared instead of samples, because two microphones a meter apart record the same
    words at different phases. The correlation with a silent channel is 0.
    """
    if samples.shape[1] == 1:
        return None
    length = min(frame_length(sample_rate), len(samples))
    count = len(samples) // length
    frames = samples[: count * length, :MOST_CHANNELS].reshape(count, length, -1)
    power = np.einsum("flc,flc->fc", frames, frames) / length  # makes no copy of hours of audio
    levels = 10 * np.log10(power + 1e-12)  # (F, C)
    levels = np.maximum(levels, levels.max() - FLOOR_DB)
    levels = levels - levels.mean(axis=0)
    spread = np.sqrt(np.square(levels).sum(axis=0))
    pairs = combinations(range(levels.shape[1]), 2)
    return min(_correlation(levels[:, a], levels[:, b], spread[a] * spread[b]) for a, b in pairs)


def _correlation(one: Vectors, other: Vectors, spread: float) -> float:
    return float(np.dot(one, other) / spread) if spread > 1e-6 else 0.0
