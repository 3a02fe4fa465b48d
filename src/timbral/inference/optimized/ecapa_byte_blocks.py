"""ECAPA-TDNN's layers over frames in 8 bits, over a stream of frames.

Codes of a block lie in one tensor (size, C). The convolution of a Res2Net group overwrites the
group that it took, so that its output and the next group are adjacent channels: the next
convolution takes both, and adds them by its weights:

    codes         0 |  1 |  2 |  3            conv 1 takes 1 and writes 1
                  0 | c1 |  2 |  3            conv 2 takes c1 and 2, and writes 2
                  0 | c1 | c2 |  3            conv 3 takes c2 and 3, and writes 3
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from timbral.encoders.ecapa import EcapaEncoder, Res2NetBlock, SERes2NetBlock, SqueezeExcitation
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_features import FeatureCodes, code_of_features
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import (
    ByteConvolution,
    ByteProduct,
    Code,
    write_codes,
)
from timbral.inference.optimized.byte_rounding import Moments, RoundedWeights
from timbral.inference.optimized.ecapa_byte_ranges import SeenEcapa, taps_seen
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.stream_ends import StreamEnds

__all__ = ["ByteInput", "ByteLinear", "ByteSERes2NetBlock"]

PARTS = 2
"""codes of each feature"""
ROWS = 128
"""rows at a time, whose numbers in float32 fit a core's cache"""
Numbers = ByteNumbers[SeenEcapa]


class ByteInput:
    """The first layer: features of a stream (size, M) -> codes (size / stride, C)."""

    def __init__(self, encoder: EcapaEncoder, numbers: Numbers) -> None:
        layer = encoder.input
        code = numbers.next(Code, lambda: code_of_features(numbers.seen.features))
        self._codes = FeatureCodes(code, PARTS)
        self._zero = self._codes(torch.zeros(1, encoder.frontend.num_features)).flatten()
        made = _before_norm(layer, numbers)

        def rounded() -> RoundedWeights:
            inputs = Moments()
            for features in numbers.seen.features:
                codes = self._codes.numbers(features).flatten(1)
                inputs.see(taps_seen(codes, layer.conv))
            weight, bias = made.as_codes(layer.conv.weight, layer.conv.bias)
            return RoundedWeights.of(self._codes.spread(weight).flatten(1), bias, inputs)

        weights = numbers.next(RoundedWeights, rounded)
        self._convolution = _convolution(layer.conv, weights, code)
        self.made = made.normalized(layer.norm)

    def __call__(self, features: Tensor, ends: StreamEnds) -> Tensor:
        padded = ends.padded(self._codes(features).flatten(1), self._zero)
        return self._convolution(padded[None], True, ONE)[0]


class ByteLinear:
    """A layer over single frames, and its ReLU: codes (size, K) -> codes (size, C)."""

    def __init__(
        self, conv: FrameConv, given: ByteChannels, made: ByteChannels, numbers: Numbers
    ) -> None:
        def rounded() -> RoundedWeights:
            return given.rounded(conv.matrix(), conv.bias, numbers.seen.inputs[conv], made)

        self._product = ByteProduct(numbers.next(RoundedWeights, rounded), ONE)
        self.made = made

    @classmethod
    def of(cls, layer: TimeDelayLayer, given: ByteChannels, numbers: Numbers) -> ByteLinear:
        """The layer and its norm, which only changes what the codes stand for (`made`)."""
        linear = cls(layer.conv, given, _before_norm(layer, numbers), numbers)
        linear.made = linear.made.normalized(layer.norm)
        return linear

    def __call__(self, codes: Tensor) -> Tensor:
        return self._product(codes, True, ONE)


class ByteRes2Net:
    """A `Res2NetBlock`, in place of the codes (size, C) that it takes."""

    def __init__(self, block: Res2NetBlock, given: ByteChannels, numbers: Numbers) -> None:
        size = len(given.low) // (len(block.blocks) + 1)
        made = [given[:size]]
        self._layers: list[tuple[ByteConvolution, slice, slice, Tensor]] = []
        for index, layer in enumerate(block.blocks, 1):
            assert isinstance(layer, TimeDelayLayer)
            outputs = slice(index * size, (index + 1) * size)
            taken = given[outputs]
            if index > 1:
                taken = ByteChannels.concatenated([made[-1], taken])
            before = _before_norm(layer, numbers)
            weights = numbers.next(
                RoundedWeights, partial(_rounded_taps, layer, taken, before, numbers)
            )
            columns = slice(outputs.stop - len(taken.low), outputs.stop)
            self._layers.append(
                (_convolution(layer.conv, weights, ONE), columns, outputs, taken.zero)
            )
            made.append(before.normalized(layer.norm))
        self.made = ByteChannels.concatenated(made)

    def __call__(self, codes: Tensor, ends: StreamEnds) -> None:
        for convolution, columns, outputs, zero in self._layers:
            padded = ends.padded(codes[:, columns], zero)
            codes[:, outputs] = convolution(padded[None], True, ONE)[0]


class ByteExcitation:
    """Squeeze-excitation and residual sum: frames, gated by the mean, are added to the inputs."""

    def __init__(
        self,
        layer: SqueezeExcitation,
        taken: ByteChannels,
        given: ByteChannels,
        made: ByteChannels,
    ) -> None:
        """Codes of `given` are gated and added to those of `taken`, as codes of `made`."""
        self._layer = layer
        self._mean_low, self._mean_step = given.low.float(), given.step.float()
        self._added = (taken.step / made.step).float()
        self._gated_low, self._gated_step = (
            (each / made.step).float() for each in (given.low, given.step)
        )
        self._low = ((taken.low - made.low) / made.step).float()

    def __call__(self, taken: Tensor, given: Tensor, made: Tensor) -> None:
        """Codes (F, C) of one utterance; the result is written to `made`."""
        few = [slice(first, first + ROWS) for first in range(0, len(given), ROWS)]
        sums = torch.stack([given[rows].float().sum(0) for rows in few]).sum(0)  # whole numbers
        mean = torch.addcmul(self._mean_low, sums / len(given), self._mean_step)[None]
        squeezed = self._layer.conv1(mean).relu_()
        gate = self._layer.conv2(squeezed).sigmoid_()
        low, step = torch.addcmul(self._low, gate, self._gated_low), gate * self._gated_step
        for rows in few:
            numbers = torch.addcmul(low, taken[rows].float(), self._added)
            write_codes(numbers.addcmul_(given[rows].float(), step), made[rows])


class ByteSERes2NetBlock:
    """A `SERes2NetBlock`: codes (size, C) -> codes (size, C)."""

    def __init__(self, block: SERes2NetBlock, given: ByteChannels, numbers: Numbers) -> None:
        self._first = ByteLinear.of(block.tdnn1, given, numbers)
        self._groups = ByteRes2Net(block.res2net_block, self._first.made, numbers)
        self._last = ByteLinear.of(block.tdnn2, self._groups.made, numbers)
        self.made = numbers.next(
            ByteChannels, lambda: ByteChannels.for_numbers(numbers.seen.ranges[block])
        )
        self._excitation = ByteExcitation(block.se_block, given, self._last.made, self.made)

    def __call__(self, codes: Tensor, ends: StreamEnds, stream: FrameStream) -> Tensor:
        hidden = self._first(codes)
        self._groups(hidden, ends)
        outputs = self._last(hidden)
        made = torch.zeros_like(codes)
        for each in zip(*(stream.split(frames) for frames in (codes, outputs, made)), strict=True):
            self._excitation(*each)
        return made


def _before_norm(layer: TimeDelayLayer, numbers: Numbers) -> ByteChannels:
    """Codes for the outputs of a layer's ReLU, which its norm takes."""
    return numbers.next(
        ByteChannels, lambda: ByteChannels.before(layer.norm, numbers.seen.ranges[layer.norm])
    )


def _rounded_taps(
    layer: TimeDelayLayer, taken: ByteChannels, made: ByteChannels, numbers: Numbers
) -> RoundedWeights:
    """Weights of a convolution for codes of `taken`: one group, or two that are to be added."""
    weight = layer.conv.weight
    weight = weight.repeat(1, len(taken.low) // weight.shape[1], 1)
    taps = weight.shape[2]
    repeated = ByteChannels(*(each.repeat_interleave(taps) for each in (taken.low, taken.step)))
    inputs = numbers.seen.inputs[layer]
    return repeated.rounded(weight.flatten(1), layer.conv.bias, inputs, made)


def _convolution(conv: FrameConv, weights: RoundedWeights, code: Code) -> ByteConvolution:
    """A convolution over padded frames."""
    (stride,), (dilation,), (kernel,) = conv.stride, conv.dilation, conv.kernel_size
    return ByteConvolution(
        weights, (1, kernel), code, strides=(1, stride), padding=0, dilation=dilation
    )
