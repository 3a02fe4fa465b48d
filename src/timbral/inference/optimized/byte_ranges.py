"""Ranges of the numbers inside an encoder, measured on shipped voices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from timbral.audio.preprocessing import load
from timbral.encoders.base import SpeakerEncoder
from timbral.inference.shipped_voices import VOICES

__all__ = ["Hook", "Range", "see_voices"]

EVERY = 40
"""one of so many shipped recordings is used: 17, each of another voice"""
SECONDS = 4.0
"""most seconds of each"""
Hook = Callable[[Any, tuple[Tensor, ...], Tensor], None]
"""(layer, inputs, outputs), as torch calls forward hooks"""


class Range:
    """The least and the largest number of each channel (C,), in float64."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low.double(), high.double()

    @classmethod
    def of(cls, numbers: Tensor) -> Range:
        """The range of numbers (..., C)."""
        return cls(*numbers.flatten(0, -2).aminmax(dim=0))

    def relu(self) -> Range:
        return Range(self.low.clamp(min=0.0), self.high.clamp(min=0.0))

    def __or__(self, other: Range) -> Range:
        return Range(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))


def see_voices(encoder: SpeakerEncoder, hooks: Iterable[tuple[nn.Module, Hook]]) -> None:
    """Run shipped voices through an encoder, one at a time; its layers call the hooks."""
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks]
    try:
        with torch.autocast("cpu", enabled=False):
            for path in sorted(VOICES.glob("*/*.ogg"))[::EVERY]:
                wave = load(path, sample_rate=encoder.sample_rate)
                wave = wave[: int(SECONDS * encoder.sample_rate)]
                encoder(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
    finally:
        for handle in handles:
            handle.remove()
