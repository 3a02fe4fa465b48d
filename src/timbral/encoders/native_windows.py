"""The windows that an encoder of fixed length takes; known without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """How an encoder of fixed length takes a longer utterance: in windows, whose vectors are
    averaged.

    The rule is that of Real-Time-Voice-Cloning, Resemblyzer and PaddleSpeech.
    """

    frames: int = 160
    step: int = 80
    min_coverage: float = 0.75

    def starts(self, samples: int, hop_samples: int) -> list[int]:
        """First frames of the windows over an utterance of `samples` samples.

        The last window may hang over the end; it goes when less than `min_coverage` of it
        is audio, unless it is the only one.
        """
        frames = math.ceil((samples + 1) / hop_samples)
        starts = list(range(0, max(1, frames - self.frames + self.step + 1), self.step))
        covered = (samples - starts[-1] * hop_samples) / (self.frames * hop_samples)
        return starts[:-1] if covered < self.min_coverage and len(starts) > 1 else starts
