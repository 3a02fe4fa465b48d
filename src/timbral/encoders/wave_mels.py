"""Linear mels of one wave on a CPU, in blocks that fit into a core's cache.

torch computes the FFT, which takes half the time of NumPy's. The rest is NumPy, whose calls cost
less, and whose products with matrices of few columns take half the time of torch's on an AMD EPYC.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from timbral.encoders.frontends import MelSpectrogram

__all__ = ["WaveMels"]

Floats = NDArray[np.float32]

BLOCK_FRAMES = 256
"""frames per block, at most; their windows and spectrum fit into a core's cache"""
BAND_CHANNELS = 8
"""channels per product. OpenBLAS computes products this small, of 402,000 multiplications, in one
thread; from 524,000 on threads wait for each other, which takes a hundred times as long on a busy
machine"""


class WaveMels:
    """Computes what a `MelSpectrogram` does for one wave, without its scale and padding.

    The audio is padded with zeros beyond both ends.
    """

    def __init__(self, frontend: MelSpectrogram) -> None:
        self._window: Floats = frontend.window.numpy()
        self._hop = frontend.hop_samples
        self._channels = frontend.num_features
        self._bands = list(_bands(frontend.filters.numpy()))

    def __call__(self, wave: Floats) -> Floats:
        """A wave (T,) -> linear frames (F, M)."""
        count = wave.size // self._hop + 1
        rows = -(-count // -(-count // BLOCK_FRAMES))  # blocks of the same size
        mels = np.empty((count, self._channels), np.float32)
        windowed = np.empty((rows, self._window.size), np.float32)
        with torch.inference_mode():
            samples = torch.from_numpy(windowed)
            for start in range(0, count, rows):
                start = min(start, count - rows)  # the last one overlaps the one before
                np.multiply(self._frames(wave, start, rows), self._window, out=windowed)
                numbers = torch.fft.rfft(samples).numpy().view(np.float32)
                np.square(numbers, out=numbers)
                for seen, channels, filters in self._bands:
                    out = mels[start : start + rows, channels]
                    np.matmul(numbers[:, seen], filters, out=out)
        return mels

    def _frames(self, wave: Floats, start: int, rows: int) -> Floats:
        """Frames (rows, N) of a wave from number `start` on, a view."""
        size, hop = self._window.size, self._hop
        first = start * hop - size // 2
        end = first + (rows - 1) * hop + size
        samples = wave[max(first, 0) : end]
        if samples.size < end - first:
            ends = [np.zeros(max(count, 0), np.float32) for count in (-first, end - wave.size)]
            samples = np.concatenate([ends[0], samples, ends[1]])
        (step,) = samples.strides
        return np.lib.stride_tricks.as_strided(samples, (rows, size), (hop * step, step))


def _bands(filters: Floats) -> Iterator[tuple[slice, slice, Floats]]:
    """Filters (N / 2 + 1, M) in groups: the numbers of a spectrum they see, channels, filters.

    These numbers are the real and the imaginary part of each bin. A product with both costs less
    than their sum, because the lower filters, most of them, look at few bins.
    """
    for first in range(0, filters.shape[1], BAND_CHANNELS):
        channels = slice(first, first + BAND_CHANNELS)
        bins = np.flatnonzero(filters[:, channels].sum(1))
        seen = slice(bins[0], bins[-1] + 1)
        repeated = np.repeat(filters[seen, channels], 2, axis=0)
        yield slice(2 * seen.start, 2 * seen.stop), channels, repeated
