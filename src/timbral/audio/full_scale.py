"""The scale of samples: full scale is [-1, 1], here and in every encoder's training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from timbral.errors import AudioError

__all__ = ["to_full_scale"]

MAX_OVERSHOOT = 16.0
"""24 dB beyond full scale: gain, mixing or a lossy codec made it, not another unit"""
PCM_SCALE = 32_768.0
PCM_FRACTION = 0.01
"""fraction of samples beyond 1 that indicates 16-bit numbers stored as floats"""


def to_full_scale(wave: NDArray[np.float32], peak: float, name: str) -> NDArray[np.float32]:
    """Scale samples (T,) with the largest magnitude `peak` to [-1, 1].

    Up to `MAX_OVERSHOOT` the whole recording is divided by its peak: clipping would distort the
    voice, and its level says nothing of the speaker. Floats that are 16-bit numbers are divided by
    32,768. Anything else is an AudioError of the kind ``out-of-range``.
    """
    if peak <= 1.0:
        return wave
    if peak <= MAX_OVERSHOOT:
        return wave / np.float32(peak)
    beyond = float(np.mean(np.abs(wave) > 1.0))
    if peak <= PCM_SCALE and beyond >= PCM_FRACTION:
        return wave / np.float32(PCM_SCALE)
    which = "samples" if beyond >= PCM_FRACTION else "single samples"
    raise AudioError(
        name,
        f"its {which} reach {peak:.3g}, but floats must be in [-1, 1] or 16-bit values up to "
        "32,768; divide the recording by its full scale, or remove the clicks",
        "out-of-range",
    )
