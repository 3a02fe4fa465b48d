"""Numbers inside ECAPA-TDNN on shipped voices, for which its version in 8 bits is made."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timbral.encoders.ecapa import (
    EcapaEncoder,
    PlainLinear,
    Res2NetBlock,
    SERes2NetBlock,
)
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.inference.optimized.byte_ranges import Hook, Range, see_voices
from timbral.inference.optimized.byte_rounding import Moments

__all__ = ["SeenEcapa", "taps_seen"]


class SeenEcapa:
    """The inputs of an encoder's products and ranges of its numbers, for its current weights."""

    def __init__(self, encoder: EcapaEncoder) -> None:
        self.features: list[Tensor] = []
        """features of each recording (F, M), padded as by the first layer"""
        self.ranges: dict[nn.Module, Range] = {}
        """ranges of the inputs of norms, and of the outputs of blocks and linear layers"""
        self.inputs: dict[nn.Module, Moments] = {}
        """moments of the inputs to one output of each product"""
        hooks: list[tuple[nn.Module, Hook]] = [(encoder.input, self._see_features)]
        for layer in encoder.modules():
            if isinstance(layer, FrameBatchNorm):
                hooks.append((layer, self._see_norm_inputs))
            elif isinstance(layer, SERes2NetBlock | PlainLinear):
                hooks.append((layer, self._see_outputs))
            elif isinstance(layer, Res2NetBlock):
                hooks.append((layer, self._see_groups))
            elif isinstance(layer, FrameConv) and layer.kernel_size == (1,):
                hooks.append((layer, self._see_inputs))
        attention = [each for each in encoder.asp.modules() if isinstance(each, nn.Linear)]
        hooks += [(layer, self._see_inputs) for layer in (encoder.asp, *attention)]
        see_voices(encoder, hooks)

    def _see_features(self, layer: TimeDelayLayer, given: tuple[Tensor, ...], _: Tensor) -> None:
        self.features.append(layer.pad(*given)[0])

    def _see_norm_inputs(self, layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        self._see_range(layer, given[0])

    def _see_outputs(self, layer: nn.Module, _: tuple[Tensor, ...], outputs: Tensor) -> None:
        self._see_range(layer, outputs)

    def _see_range(self, layer: nn.Module, numbers: Tensor) -> None:
        seen = Range.of(numbers)
        self.ranges[layer] = self.ranges.get(layer, seen) | seen

    def _see_inputs(self, layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        self.inputs.setdefault(layer, Moments()).see(given[0][0])

    def _see_groups(self, layer: Res2NetBlock, given: tuple[Tensor, ...], made: Tensor) -> None:
        """A convolution takes the sum of two groups; in 8 bits it takes both, concatenated."""
        frames, mask = given
        groups = len(layer.blocks) + 1
        taken, outputs = frames.chunk(groups, dim=2), made.chunk(groups, dim=2)
        for index, block in enumerate(layer.blocks, 1):
            assert isinstance(block, TimeDelayLayer)
            before = outputs[index - 1 : index] if index > 1 else ()
            pair = torch.cat([*before, taken[index]], dim=2)
            rows = taps_seen(block.pad(pair, mask)[0], block.conv)
            self.inputs.setdefault(block, Moments()).see(rows)


def taps_seen(padded: Tensor, convolution: FrameConv) -> Tensor:
    """The inputs to single outputs of a convolution over (F, C): rows (N, C × taps)."""
    (dilation,), (stride,) = convolution.dilation, convolution.stride
    taps = padded.unfold(0, convolution.context + 1, stride)[:, :, ::dilation]
    return taps.flatten(1)
