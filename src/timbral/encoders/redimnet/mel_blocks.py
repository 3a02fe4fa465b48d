"""ReDimNet's blocks over (mel, time): frames (B, F, M, C) with a mask (B, F), true inside.

Outputs after an utterance's end are undefined.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.pooling import masked_mean

__all__ = ["BLOCK_TYPES", "GroupedConv", "SqueezeAfterConv", "SqueezeChannels", "StrideConv"]

SQUEEZE_EPSILON = 1e-6
"""epsilon of the batch norms after blocks"""


class StrideConv(nn.Conv2d):
    """A convolution over (mel, time) whose kernel equals its stride, with a bias.

    No frame is used twice, so it needs no mask.
    """

    def __init__(
        self, inputs: int, outputs: int, mel_stride: int, frame_stride: int, groups: int = 1
    ) -> None:
        stride = (mel_stride, frame_stride)
        super().__init__(inputs, outputs, stride, stride, groups=groups)

    def forward(self, frames: Tensor) -> Tensor:
        return _convolved(self, frames, (0, 0))


class GroupedConv(nn.Conv2d):
    """A 3 × 3 convolution in groups of channels, padded with zeros at each utterance's ends."""

    def __init__(self, inputs: int, outputs: int, groups: int = 1, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, groups=groups, bias=bias)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        return _convolved(self, frames * mask[:, :, None, None], (1, 1))


def _convolved(conv: nn.Conv2d, frames: Tensor, padding: tuple[int, int]) -> Tensor:
    """A convolution over (B, F, M, C) with a weight (C', C, mel, time)."""
    stride = (conv.stride[1], conv.stride[0])
    outputs = functional.conv2d(
        frames.permute(0, 3, 1, 2),
        conv.weight.transpose(2, 3),
        conv.bias,
        stride,
        padding,
        1,
        conv.groups,
    )
    return outputs.permute(0, 2, 3, 1)


class MelExcitation(nn.Module):
    """Mels gated by the utterance's mean over channels and frames (Thienpondt et al., Integrating
    Frequency Translational Invariance in TDNNs, 2021)."""

    def __init__(self, mels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(mels, hidden)
        self.excite = nn.Linear(hidden, mels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        mean = masked_mean(frames.mean(3), mask).to(frames.dtype)
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(mean))))
        return frames * gate[:, None, :, None]


class ResnetBlock(nn.Module):
    """Two grouped 3 × 3 convolutions, each followed by a product over channels, and a shortcut."""

    def __init__(self, channels: int, group_divisor: int, mels: int = 0) -> None:
        """`mels`: number of mels for squeeze and excitation; 0: without it."""
        super().__init__()
        groups = max(1, channels // group_divisor)
        self.conv1 = GroupedConv(channels, channels, groups, bias=False)
        self.product1 = Linear(channels, channels)
        self.norm1 = FrameBatchNorm(channels)
        self.conv2 = GroupedConv(channels, channels, groups, bias=False)
        self.product2 = Linear(channels, channels)
        self.norm2 = FrameBatchNorm(channels)
        self.excitation = MelExcitation(mels, min(64, max(channels, 32))) if mels else None

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        out = functional.relu(self.product1(self.conv1(frames, mask)))
        out = self.product2(self.conv2(self.norm1(out, mask), mask))
        out = self.norm2(out, mask)
        if self.excitation is not None:
            out = self.excitation(out, mask)
        return functional.relu(out + frames)


class ConvnextBlock(nn.Module):
    """A grouped 3 × 3 convolution, batch norm, GELU and a product, added to the input."""

    def __init__(self, channels: int, group_divisor: int) -> None:
        super().__init__()
        self.conv = GroupedConv(channels, channels, max(1, channels // group_divisor))
        self.norm = FrameBatchNorm(channels)
        self.product = Linear(channels, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        out = functional.gelu(self.norm(self.conv(frames, mask), mask))
        summed: Tensor = frames + self.product(out)
        return summed


class SqueezeChannels(nn.Module):
    """From a stage's width back to the channels of its map, in ReDimNet2: by a product."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.product = Linear(width, channels)
        self.norm = FrameBatchNorm(channels, eps=SQUEEZE_EPSILON)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        squeezed: Tensor = self.norm(self.product(frames), mask)
        return squeezed


class SqueezeAfterConv(nn.Module):
    """From a stage's width back to the channels of its map, in ReDimNet: by a convolution."""

    def __init__(self, width: int, channels: int, group_divisor: int) -> None:
        super().__init__()
        self.conv = GroupedConv(width, channels, max(1, channels // group_divisor))
        self.norm = FrameBatchNorm(channels, eps=SQUEEZE_EPSILON)
        self.product = Linear(channels, channels)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        squeezed: Tensor = self.product(functional.gelu(self.norm(self.conv(frames, mask), mask)))
        return squeezed


BLOCK_TYPES: dict[str, Callable[[int, int, int], nn.Module]] = {
    "resnet": lambda width, divisor, mels: ResnetBlock(width, divisor),
    "resnet-fwse": ResnetBlock,
    "convnext": lambda width, divisor, mels: ConvnextBlock(width, divisor),
}
"""constructors of blocks, from channels, group divisor and mels"""
