"""Windows over a recording: which samples each one takes."""

from __future__ import annotations

import numpy as np

from timbral.io.types import Ints

__all__ = ["sliding_windows"]


def sliding_windows(samples: int, size: int, step: int) -> Ints:
    """First and end samples (W, 2) of windows of `size` samples, one every `step`.

    Together they take every sample: the last one ends with the recording, so that it may overlap
    the one before by more. A recording shorter than `size` is one window.

        samples  ────────────────────────────────
        windows  [──────────]
                       [──────────]
                             [──────────]
                                     [──────────]   its start is samples - size
    """
    if samples <= size:
        return np.array([[0, samples]])
    starts = list(range(0, samples - size + 1, step))
    if starts[-1] + size < samples:
        starts.append(samples - size)
    return np.array([[start, start + size] for start in starts])
