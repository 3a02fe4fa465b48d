"""The highest frequency at which a recording has energy of its own."""

from __future__ import annotations

import numpy as np

from timbral.audio.quality.short_time import STEP_HZ
from timbral.io.types import Vectors

__all__ = ["bandwidth_hz"]

BELOW_PEAK_DB = 60.0
"""dB below the strongest step: the highest fricatives of speech are about 50 dB below its vowels,
the residue of a resampler's filter 80 dB and more"""
ROUNDING_DBFS = -108.0
"""white noise of 16-bit rounding has -113 dBFS in each 250 Hz of 8 kHz"""


def bandwidth_hz(spectrum: Vectors, sample_rate: int) -> float:
    """From the mean power in steps of 250 Hz: the end of the highest step that is not empty."""
    levels = 10 * np.log10(spectrum + 1e-20)
    threshold = max(float(levels.max()) - BELOW_PEAK_DB, ROUNDING_DBFS)
    above = np.flatnonzero(levels > threshold)
    top = above[-1] + 1 if above.size else 1
    return float(min(top * STEP_HZ, sample_rate / 2))
