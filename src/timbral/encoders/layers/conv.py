"""Convolutions over time-major frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.packing import PackableProduct

__all__ = ["FrameConv", "FrameConv2d"]


class FrameConv(PackableProduct, nn.Conv1d):
    """`nn.Conv1d` over time, (B, F, C) -> (B, F', C'), as one matrix product.

    The weight (C', C, kernel), the bias and their initialization are those of `nn.Conv1d`.
    `padding` zeros are added before the first frame and after the last. With kernel 3 and dilation
    2, the taps of an output frame, which form one row of the product:

        frame         0 1 2 3 4 5 6
        output 0      x   x   x
        output 1        x   x   x          output 1 with stride 2:  x   x   x
        output 2          x   x   x                                 2   4   6
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, dilation, bias=bias)
        self.context = dilation * (kernel - 1)
        """taps of an output frame, minus one, in frames: the output is shorter by so many"""

    def matrix(self) -> Tensor:
        """The weight as (C', kernel × C), taps first."""
        return self.weight.transpose(1, 2).flatten(1)

    def taps(self, frames: Tensor) -> Tensor:
        """The taps of each output frame: (B, F, C) -> (B, F', kernel × C)."""
        (stride,), (dilation,) = self.stride, self.dilation
        if self.context == 0 and stride == 1:
            return frames
        first_taps = frames.shape[1] - self.context
        offsets = range(0, self.context + 1, dilation)
        slices = [frames[:, offset : offset + first_taps : stride] for offset in offsets]
        return torch.cat(slices, dim=2)

    def forward(self, frames: Tensor) -> Tensor:
        padding = int(self.padding[0])
        if padding:
            frames = functional.pad(frames, (0, 0, padding, padding))
        return self.multiply(self.taps(frames))


class FrameConv2d(nn.Conv2d):
    """`nn.Conv2d` over (mel, time) of (B, F, M, C) -> (B, F', M', C'), without a bias.

    The weight is (C', C, mel, time), as in published models; channels come last, which is fastest
    in oneDNN and cuDNN.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        mel_stride: int = 1,
        frame_stride: int = 1,
        padding: int = 0,
    ) -> None:
        stride = (mel_stride, frame_stride)
        super().__init__(inputs, outputs, kernel, stride, padding, bias=False)

    @classmethod
    def square(cls, inputs: int, outputs: int, kernel: int, stride: int = 1) -> FrameConv2d:
        """A convolution with the same stride over mel and time, padded by half of an odd kernel."""
        return cls(
            inputs, outputs, kernel, mel_stride=stride, frame_stride=stride, padding=kernel // 2
        )

    def forward(self, frames: Tensor) -> Tensor:
        if self.kernel_size == (1, 1):  # torch 2.13 corrupts memory in the gradient of these
            mel_stride, frame_stride = self.stride
            strided = frames[:, ::frame_stride, ::mel_stride]
            return functional.linear(strided, self.weight[:, :, 0, 0])
        assert isinstance(self.padding, tuple)
        channels_last, weight = frames.permute(0, 3, 1, 2), self.weight.transpose(2, 3)
        stride, padding = self.stride[::-1], self.padding[::-1]
        outputs = functional.conv2d(channels_last, weight, None, stride, padding)
        return outputs.permute(0, 2, 3, 1)
