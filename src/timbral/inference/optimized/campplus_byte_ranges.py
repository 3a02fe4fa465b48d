"""Numbers inside CAM++ on shipped voices, for which its version in 8 bits is made."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timbral.encoders.campplus import CampplusLayers, DenseBlock, FrontConvolutions, ResidualBlock
from timbral.encoders.layers.conv import FrameConv, FrameConv2d
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.inference.optimized.byte_ranges import Hook, Range, see_voices
from timbral.inference.optimized.byte_rounding import Moments

__all__ = ["SeenCampplus", "patches"]

PATCH_FRAMES = 9
"""one of so many frames is used in the front, as each has many mels"""


class SeenCampplus:
    """Inputs of an encoder's products and ranges of its numbers, for its current weights."""

    def __init__(self, encoder: CampplusLayers) -> None:
        self._front_channels = encoder.front.conv1.out_channels
        self.features: list[Tensor] = []
        """features of each recording (F, M)"""
        self.ranges: dict[nn.Module, Range] = {}
        """ranges of the outputs of the front's layers, by channel"""
        self.inputs: dict[nn.Module, Moments] = {}
        """moments of the inputs to one output of the front's convolutions and of the next layer"""
        self._frames: dict[nn.Module, list[Tensor]] = {}
        kinds = (FrameBatchNorm, ResidualBlock, FrameConv2d)
        layers = [each for each in encoder.front.modules() if isinstance(each, kinds)]
        hooks: list[tuple[nn.Module, Hook]] = [(layer, self._see_in_front) for layer in layers]
        hooks += [(encoder.front, self._see_front), (encoder.tdnn, self._see_tdnn)]
        blocks = [block for block in encoder.blocks if isinstance(block, DenseBlock)]
        hooks += [(_last(block), self._see_block) for block in blocks]
        see_voices(encoder, hooks)

    def frames(self, block: DenseBlock) -> Tensor:
        """The outputs of a dense block's layers (N, C), before its stride."""
        return torch.cat(self._frames[_last(block)])

    def _see_front(self, layer: FrontConvolutions, given: tuple[Tensor, ...], _: Tensor) -> None:
        self.features.append(given[0][0])

    def _see_in_front(self, layer: nn.Module, given: tuple[Tensor, ...], outputs: Tensor) -> None:
        if isinstance(layer, FrameConv2d):
            size, mel_stride = layer.kernel_size[0], layer.stride[0]
            rows = patches(given[0][0], size, mel_stride, PATCH_FRAMES)
            self.inputs.setdefault(layer, Moments()).see(rows)
            return
        seen = Range.of(outputs)
        self.ranges[layer] = self.ranges.get(layer, seen) | seen

    def _see_tdnn(self, layer: FrameConv, given: tuple[Tensor, ...], _: Tensor) -> None:
        frames = given[0][0]  # a channel's mels together, which `ByteFront` gives mel by mel
        frames = frames.view(len(frames), self._front_channels, -1).transpose(1, 2).flatten(1)
        taps = frames.unfold(0, layer.kernel_size[0], int(layer.stride[0]))
        rows = taps.transpose(1, 2).flatten(1)
        self.inputs.setdefault(layer, Moments()).see(rows)

    def _see_block(self, layer: nn.Module, _: tuple[Tensor, ...], outputs: Tensor) -> None:
        self._frames.setdefault(layer, []).append(outputs[0])


def _last(block: DenseBlock) -> nn.Module:
    return block.layers[len(block.layers) - 1]


def patches(numbers: Tensor, size: int, mel_stride: int, every: int) -> Tensor:
    """The inputs to single outputs of a `size` × `size` convolution over numbers (F, M, C).

    Returns rows (N, C × time × mel) for one of `every` frames.
    """
    padded = nn.functional.pad(numbers, (0, 0, size // 2, size // 2))
    taken = padded.unfold(0, size, every).unfold(1, size, mel_stride)
    return taken.flatten(2).flatten(0, 1)
