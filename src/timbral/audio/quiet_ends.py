"""Cutting what is quiet at both ends of a recording; pauses stay."""

from __future__ import annotations

import numpy as np

from timbral.audio.decode import Wave

__all__ = ["loud_extent"]

FRAME_SAMPLES, STEP_SAMPLES = 2048, 512
"""of the level, whatever the rate"""
RANGE_DB = 20.0
"""below the loudest frame, from where an end is quiet"""
LEAST_RMS = 1e-5
"""quieter frames, and the loudest one, count as this"""


def loud_extent(wave: Wave) -> tuple[int, int]:
    """First and end sample of what lies between the first and the last loud frame of a wave (T,).

    The RMS level of 2,048 samples around every 512th one, zeros beyond both ends; loud is within
    20 dB of the loudest. It is chatterbox's way, and that of ``librosa.effects.trim``.
    """
    half = FRAME_SAMPLES // 2
    squares = np.concatenate([[0.0], np.cumsum(np.square(np.pad(wave, half).astype(np.float64)))])
    starts = np.arange(0, len(wave) + 1, STEP_SAMPLES)
    power = (squares[starts + FRAME_SAMPLES] - squares[starts]) / FRAME_SAMPLES
    rms = np.maximum(np.sqrt(np.maximum(power, 0.0)), LEAST_RMS)
    loud = np.flatnonzero(rms > rms.max() * 10 ** (-RANGE_DB / 20))
    return int(loud[0]) * STEP_SAMPLES, min(int(loud[-1] + 1) * STEP_SAMPLES, len(wave))
