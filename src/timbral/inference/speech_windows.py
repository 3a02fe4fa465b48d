"""Windows of a recording that are mostly speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import Wave
from timbral.audio.quality.short_time import analyze, frame_length
from timbral.audio.quality.sound_features import windows_of
from timbral.audio.quality.sound_model import classify
from timbral.audio.quality.speech_frames import mark_speech
from timbral.inference.windows import sliding_windows
from timbral.io.types import Floats, Ints

__all__ = ["SPEECH_FRACTION", "speech_extent", "speech_fractions", "speech_windows"]

SPEECH_FRACTION = 0.5
"""smallest fraction of speech in a window, as vectors of pauses are arbitrary"""
WINDOW_SECONDS = (0.6, 1.5)
"""the shortest and the longest window"""
WINDOWS_EACH = 3
"""adjacent windows of a recording that is too short for three of the longest"""
MOST_WINDOWS = 400
"""most windows of a long recording, spread over it"""


def speech_fractions(wave: Wave, sample_rate: int, ranges: Ints) -> Floats:
    """Fraction (W,) of speech in each range (W, 2) of samples of a wave (T,)."""
    marks = _marks(wave, sample_rate)
    counts = np.concatenate([[0], np.cumsum(marks)])
    length = frame_length(sample_rate)
    starts = np.minimum(ranges[:, 0] // length, marks.size - 1)
    ends = np.clip(ranges[:, 1] // length, starts + 1, marks.size)
    return np.asarray((counts[ends] - counts[starts]) / (ends - starts))


def speech_extent(wave: Wave, sample_rate: int) -> tuple[int, int]:
    """Start and end sample of the speech in a wave (T,); (0, 0) without speech."""
    spoken = np.flatnonzero(_marks(wave, sample_rate)) * frame_length(sample_rate)
    if not len(spoken):
        return 0, 0
    return int(spoken[0]), min(int(spoken[-1]) + frame_length(sample_rate), len(wave))


def _marks(wave: Wave, sample_rate: int) -> NDArray[np.bool_]:
    frames = analyze(wave, sample_rate)
    return mark_speech(frames.bands, classify(*windows_of(frames)).speech)


def speech_windows(wave: Wave, sample_rate: int, min_samples: int) -> Ints:
    """First and end samples (W, 2) of half overlapping windows that are mostly speech.

    They are 1.5 s long; in a recording shorter than 4.5 s a third of it, but at least 0.6 s. A
    recording shorter than one window has none.
    """
    shortest, longest = (round(seconds * sample_rate) for seconds in WINDOW_SECONDS)
    size = max(min(longest, len(wave) // WINDOWS_EACH), shortest, min_samples)
    if len(wave) < size:
        return np.zeros((0, 2), np.int64)
    ranges = sliding_windows(len(wave), size, max(size // 2, len(wave) // MOST_WINDOWS))
    return ranges[speech_fractions(wave, sample_rate, ranges) >= SPEECH_FRACTION]
