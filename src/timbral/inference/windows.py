"""Positions of windows in a recording."""

from __future__ import annotations

import numpy as np

from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError
from timbral.io.types import Ints

__all__ = ["native_ranges", "sliding_windows", "window_ranges", "window_sizes"]

MOST_SECONDS = 1e6
"""more than any recording has"""
WINDOW_SECONDS = 1.5
"""default length of windows, for encoders without windows of their own"""


def native_ranges(windows: Windows, samples: int, hop_samples: int) -> Ints:
    """Start and end samples (W, 2) of an encoder's own windows, which are defined in frames."""
    starts = np.array(windows.starts(samples, hop_samples))
    ends = np.minimum((starts + windows.frames) * hop_samples, samples)
    return np.stack([starts * hop_samples, ends], axis=1)


def window_ranges(
    samples: int,
    sample_rate: int,
    seconds: float | None,
    step: float | None,
    min_samples: int,
    encoder: str,
) -> Ints:
    """Start and end samples (W, 2) of windows of `seconds`, one every `step` seconds.

    Sizes and errors as for `window_sizes`.
    """
    size, hop = window_sizes(sample_rate, seconds, step, min_samples, encoder)
    return sliding_windows(samples, size, hop)


def window_sizes(
    sample_rate: int, seconds: float | None, step: float | None, min_samples: int, encoder: str
) -> tuple[int, int]:
    """Samples of a window of `seconds`, and samples of a `step` in seconds.

    None: 1.5 s, and half a window. Raises ConfigError for times that are not positive, and for
    windows shorter than the `min_samples` of `encoder`.
    """
    length = WINDOW_SECONDS if seconds is None else seconds
    size = _count_samples("seconds", length, sample_rate)
    if size < min_samples:
        least = min_samples / sample_rate
        raise ConfigError(f"seconds: {encoder} needs {least:g} s or more, got {length}")
    return size, size // 2 if step is None else _count_samples("step", step, sample_rate)


def _count_samples(argument: str, seconds: float, sample_rate: int) -> int:
    if not 1 / sample_rate <= seconds < MOST_SECONDS:
        raise ConfigError(
            f"{argument}: a positive number of seconds below {MOST_SECONDS:g} is needed, "
            f"got {seconds}"
        )
    return round(seconds * sample_rate)


def sliding_windows(samples: int, size: int, step: int) -> Ints:
    """Start and end samples (W, 2) of windows of `size` samples, one every `step`.

    Together they cover every sample: the last one ends with the recording, and may overlap the
    previous one by more. A recording shorter than `size` is one window.

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
