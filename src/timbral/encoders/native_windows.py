"""The windows of encoders with a fixed input length. Importable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """How an encoder with a fixed input length embeds a longer utterance: as the mean of the
    vectors of windows.

    The rule is that of Real-Time-Voice-Cloning, Resemblyzer and PaddleSpeech.
    """

    frames: int = 160
    """length of a window"""
    step: int = 80
    """frames between the starts of two windows"""
    min_coverage: float = 0.75
    """least fraction of the last window that must be audio"""

    def starts(self, samples: int, hop_samples: int) -> list[int]:
        """The first frame of each window of an utterance of `samples` samples.

        The last window may extend past the end. It is left out if less than `min_coverage` of it
        is audio, unless it is the only one.
        """
        frames = math.ceil((samples + 1) / hop_samples)
        starts = list(range(0, max(1, frames - self.frames + self.step + 1), self.step))
        covered = (samples - starts[-1] * hop_samples) / (self.frames * hop_samples)
        return starts[:-1] if covered < self.min_coverage and len(starts) > 1 else starts
