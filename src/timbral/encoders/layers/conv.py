"""Convolution over time-major frames, as one matrix product."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.layers.linear import Linear

__all__ = ["TimeConv", "taps"]


def taps(frames: Tensor, kernel: int, dilation: int = 1, stride: int = 1) -> Tensor:
    """What each frame that a convolution makes of (B, F, C) sees: (B, F', kernel × C)."""
    if kernel == 1 and stride == 1:
        return frames
    reach = dilation * (kernel - 1)
    span = frames.shape[1] - reach  # of first taps, before the stride
    starts = range(0, reach + 1, dilation)
    return torch.cat([frames[:, at : at + span : stride] for at in starts], dim=2)


class TimeConv(Linear):
    """Convolution without padding, (B, F, C) -> (B, F', C'). The weight is (C', kernel × C), taps
    first."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        dilation: int = 1,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(kernel * inputs, outputs, bias)
        self.kernel = kernel
        self.dilation = dilation
        self.stride = stride

    @property
    def reach(self) -> int:
        """Frames from the first tap to the last."""
        return self.dilation * (self.kernel - 1)

    def taps(self, frames: Tensor) -> Tensor:
        """What each output frame sees: (B, F', kernel × C)."""
        return taps(frames, self.kernel, self.dilation, self.stride)

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(self.taps(frames))
