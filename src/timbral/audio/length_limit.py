"""Limit the length of untrusted recordings before they are decoded.

A megabyte of FLAC or Opus may contain days of silence, so checking after decoding is too late.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from timbral.errors import AudioError

__all__ = ["NO_LIMIT", "LengthLimit"]

VALUES_PER_SECOND = 192_000
"""samples per second of all channels together: four channels at 48 kHz, two at 96 kHz"""


@dataclass(frozen=True)
class LengthLimit:
    """The longest recording that is decoded."""

    seconds: float = math.inf
    turn: AbstractContextManager[Any] = field(default=nullcontext(), compare=False, repr=False)
    """context held while decoding, such as a semaphore that limits how many are decoded at once"""

    def check(self, name: str, num_samples: int, sample_rate: int, channels: int) -> None:
        """Raise AudioError for a recording with more samples (T, C) than allowed."""
        seconds = num_samples / max(sample_rate, 1)
        if seconds > self.seconds:
            reason = (
                f"{_length(seconds)} of audio is more than the limit of {_length(self.seconds)}; "
                "cut it"
            )
            raise AudioError(name, reason, "too-long")
        if num_samples * channels > self.seconds * VALUES_PER_SECOND:
            reason = (
                f"{channels} channels at {sample_rate:,} Hz are too much data for "
                f"{_length(seconds)}; convert it to one channel at 16,000 Hz"
            )
            raise AudioError(name, reason, "too-large")

    def check_decoded(self, name: str, num_values: int, seconds: float) -> None:
        """Raise AudioError if the part decoded so far exceeds the limit."""
        if seconds > self.seconds or num_values > self.seconds * VALUES_PER_SECOND:
            reason = f"it is longer than the limit of {_length(self.seconds)}; cut it"
            raise AudioError(name, reason, "too-long")

    def most_samples(self, sample_rate: int) -> int:
        """Most samples to decode: one more than allowed; -1 without a limit."""
        return -1 if math.isinf(self.seconds) else int(self.seconds * sample_rate) + 1


NO_LIMIT = LengthLimit()


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"
