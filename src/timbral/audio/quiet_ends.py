"""Cut quiet parts at both ends of a recording; pauses are kept."""

from __future__ import annotations

import numpy as np

from timbral.audio.decode import Wave

__all__ = ["loud_extent"]

FRAME_SAMPLES, STEP_SAMPLES = 2048, 512
"""frame and step of the level in samples, at any rate"""
RANGE_DB = 20.0
"""dB below the loudest frame, beyond which an end is quiet"""
LEAST_RMS = 1e-5
"""smallest RMS level; quieter frames count as this"""


def loud_extent(wave: Wave) -> tuple[int, int]:
    """Range of samples from the first to the last loud frame of a wave (T,).

    Levels are the RMS of 2,048 samples around every 512th one, with zeros beyond both ends; a frame
    is loud within 20 dB of the loudest. Chatterbox and ``librosa.effects.trim`` do the same.
    """
    half = FRAME_SAMPLES // 2
    squares = np.concatenate([[0.0], np.cumsum(np.square(np.pad(wave, half).astype(np.float64)))])
    starts = np.arange(0, len(wave) + 1, STEP_SAMPLES)
    power = (squares[starts + FRAME_SAMPLES] - squares[starts]) / FRAME_SAMPLES
    rms = np.maximum(np.sqrt(np.maximum(power, 0.0)), LEAST_RMS)
    loud = np.flatnonzero(rms > rms.max() * 10 ** (-RANGE_DB / 20))
    return int(loud[0]) * STEP_SAMPLES, min(int(loud[-1] + 1) * STEP_SAMPLES, len(wave))
