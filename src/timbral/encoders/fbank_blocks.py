"""Kaldi's filter banks of one wave on a CPU, in blocks that reuse the same memory.

Windows overlap, so pre-emphasis is computed once for all of them. The mean m of each window, which
Kaldi subtracts before pre-emphasis, is therefore subtracted after it:

    (x[i] - m) - 0.97 (x[i - 1] - m) = e[i] - 0.03 m        with e[i] = x[i] - 0.97 x[i - 1]

The first sample of a window, which is its own predecessor in Kaldi, becomes 0.03 (x[0] - m).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["PREEMPHASIS", "FbankBlocks"]

PREEMPHASIS = 0.97
BLOCK_FRAMES = 256
"""frames per block, at most; their windows, spectrum and powers fit into a core's cache"""


class FbankBlocks:
    """Computes filter banks before the logarithm, of the windows that fit completely into a wave.

    Without gradients.
    """

    def __init__(self, window: Tensor, filters: Tensor, hop_samples: int) -> None:
        """A window (N,) and filters (n_fft / 2 + 1, M)."""
        self._window, self._filters, self._hop = window, filters, hop_samples
        self._size, bins = len(window), len(filters)
        self._emphasized = window.new_empty((BLOCK_FRAMES - 1) * hop_samples + self._size)
        self._windowed = window.new_zeros(BLOCK_FRAMES, 2 * (bins - 1))
        self._power = window.new_empty(BLOCK_FRAMES, bins)

    def write(self, wave: Tensor, banks: Tensor) -> None:
        """Compute the banks of a wave (T,) into `banks` (F, M)."""
        blocks = max(1, -(-len(banks) // BLOCK_FRAMES))
        size = -(-len(banks) // blocks)
        for start in range(0, len(banks), size or 1):
            rows = banks[start : start + size]
            first, last = start * self._hop, (start + len(rows) - 1) * self._hop
            self._write_block(wave[first : last + self._size], rows)

    def _write_block(self, samples: Tensor, banks: Tensor) -> None:
        count, remainder = len(banks), 1.0 - PREEMPHASIS
        emphasized = self._emphasized[: len(samples)]
        torch.sub(samples[1:], samples[:-1], alpha=PREEMPHASIS, out=emphasized[1:])
        emphasized[0] = 0.0
        windows = samples.unfold(0, self._size, self._hop)
        means = windows.mean(1, keepdim=True)
        windowed = self._windowed[:count]  # each window is followed by zeros
        inside = windowed[:, : self._size]
        torch.sub(emphasized.unfold(0, self._size, self._hop), means, alpha=remainder, out=inside)
        torch.sub(windows[:, :1], means, out=inside[:, :1]).mul_(remainder)
        inside.mul_(self._window)
        squares = torch.view_as_real(torch.fft.rfft(windowed)).square_()
        power = torch.add(squares[..., 0], squares[..., 1], out=self._power[:count])
        torch.mm(power, self._filters, out=banks)
