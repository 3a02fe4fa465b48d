"""Mark speech frames: those well above the background around them, in windows with speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbral.audio.quality.sound_features import HOP_FRAMES, WINDOW_FRAMES
from timbral.audio.vad import with_neighbors
from timbral.io.types import Vectors

__all__ = ["mark_speech"]

STRETCH_FRAMES = 625
"""20 s, over which the background is estimated"""
BACKGROUND, LOUD = 0.05, 0.95
"""quantiles of the levels in 20 s that represent pauses and speech"""
ABOVE_FRACTION = 0.35
"""fraction of the way from background to loud frames, above which a frame is speech"""
ABOVE_DB = (4.0, 15.0)
"""lower and upper limit of that threshold above the background"""
BELOW_LOUD_DB = 35.0
"""dB below the loud frames, from where on nothing is speech, but breath or the room"""
SIDE_FRAMES = 2
"""neighbors that also become speech: weak consonants"""
SPEECH_LOGIT = -1.0
"""windows below it contain no speech at any level; a word in a noisy room is at about 0"""


def mark_speech(bands: Vectors, logits: Vectors) -> NDArray[np.bool_]:
    """A mask (F,) of speech frames, from band levels (F, M) in dBFS and windows' log odds (W,)."""
    level = bands.max(axis=1)
    marks = np.zeros(level.size, bool)
    for stretch in np.array_split(np.arange(level.size), max(1, level.size // STRETCH_FRAMES)):
        low, high = np.quantile(level[stretch], [BACKGROUND, LOUD])
        above = low + np.clip(ABOVE_FRACTION * (high - low), *ABOVE_DB)
        marks[stretch] = level[stretch] > max(above, high - BELOW_LOUD_DB)
    return np.asarray(with_neighbors(marks, SIDE_FRAMES) & _in_speech(logits, level.size))


def _in_speech(logits: Vectors, count: int) -> NDArray[np.bool_]:
    """A mask (F,) of frames in any window that may be speech."""
    inside = np.zeros(count, bool)
    for window in np.flatnonzero(logits > SPEECH_LOGIT):
        start = min(int(window) * HOP_FRAMES, max(0, count - WINDOW_FRAMES))
        inside[start : start + WINDOW_FRAMES] = True
    return inside
