"""The fraction of a recording on flat tops."""

from __future__ import annotations

import numpy as np

from timbral.io.types import Vectors

__all__ = ["clipped_fraction"]

TOP = np.float32(0.99)
"""fraction of the peak that counts as peak: after a lossy codec, a flat top is not quite flat"""
BLOCK = 1 << 20
"""samples per block, which limits memory"""


def clipped_fraction(samples: Vectors) -> float:
    """The fraction of samples (T,) in the middle of three or more at the peak."""
    if samples.size < 3:
        return 0.0
    peak = max(float(samples.max()), -float(samples.min()))
    if peak == 0:
        return 0.0
    count = 0
    for start in range(0, samples.size, BLOCK):
        block = samples[start : start + BLOCK + 2]
        top = np.abs(block) >= TOP * np.float32(peak)
        if top.any():
            count += int(np.count_nonzero(top[:-2] & top[1:-1] & top[2:]))
    return count / samples.size
