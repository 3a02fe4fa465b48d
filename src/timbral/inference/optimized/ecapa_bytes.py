"""ECAPA-TDNN in 8 bits: products and convolutions over frames in whole numbers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from timbral.encoders.ecapa import (
    AttentiveStatistics,
    EcapaEncoder,
    PlainAttentiveStatistics,
    PlainLinear,
    SERes2NetBlock,
)
from timbral.encoders.layers.time_delay import TimeDelayLayer
from timbral.inference.optimized.byte_channels import ByteChannels
from timbral.inference.optimized.byte_numbers import ByteNumbers, in_one_thread
from timbral.inference.optimized.ecapa_byte_blocks import (
    ByteInput,
    ByteLinear,
    ByteSERes2NetBlock,
)
from timbral.inference.optimized.ecapa_byte_pooling import ByteAttentiveStatistics
from timbral.inference.optimized.ecapa_byte_ranges import SeenEcapa
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.stream_ends import StreamEnds

__all__ = ["ByteEcapa"]

SIZE_STEP = 32
"""sizes of streams are multiples of this, because oneDNN caches kernels by shape"""


class ByteEcapa:
    """`EcapaEncoder.embed_features` in 8 bits, for the current weights.

    Whatever would be rounded differently in a batch is computed for each utterance alone. Sums of
    whole numbers would not, because they are exact.
    """

    @torch.inference_mode()
    def __init__(self, encoder: EcapaEncoder) -> None:
        self._mirrored = encoder.config.variant == "speechbrain"
        self._stride, self._beside = encoder.input.stride, encoder.input.padding
        with in_one_thread():
            self._fold(encoder)
        scale, offset = encoder.asp_bn.scale_and_offset()
        matrix = encoder.fc.weight.double()
        self._bias = (encoder.fc.bias + matrix @ offset).float()
        self._matrix = (matrix * scale).t().float().contiguous()

    def _fold(self, encoder: EcapaEncoder) -> None:
        numbers = ByteNumbers(encoder, partial(SeenEcapa, encoder))
        self._input = ByteInput(encoder, numbers)
        self._blocks: list[tuple[ByteSERes2NetBlock, int]] = []
        given, outputs_of_blocks = self._input.made, []
        for block in encoder.blocks:
            assert isinstance(block, SERes2NetBlock)
            made = ByteSERes2NetBlock(block, given, numbers)
            self._blocks.append((made, block.dilation))
            given = made.made
            outputs_of_blocks.append(given)
        mfa, joined = encoder.mfa, ByteChannels.concatenated(outputs_of_blocks)
        if isinstance(mfa, TimeDelayLayer):
            self._mfa = ByteLinear.of(mfa, joined, numbers)
        else:
            assert isinstance(mfa, PlainLinear)
            channels = numbers.next(
                ByteChannels, lambda: ByteChannels.for_numbers(numbers.seen.ranges[mfa])
            )
            self._mfa = ByteLinear(mfa.conv, joined, channels, numbers)
        asp = encoder.asp
        assert isinstance(asp, AttentiveStatistics | PlainAttentiveStatistics)
        self._pooling = ByteAttentiveStatistics(asp, self._mfa.made, numbers)
        numbers.keep()

    @torch.inference_mode()
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        gap = 2 * self._stride * max(dilation for _, dilation in self._blocks)
        lengths = frame_lengths.tolist()
        step = SIZE_STEP * self._stride
        stream = FrameStream.of(lengths, gap, step, self._stride, gap_at_end=False)
        # every product below has its own precision
        with torch.autocast("cpu", enabled=False):
            ends = StreamEnds(stream, self._beside, self._mirrored)
            codes = self._input(stream.gather(features.float()), ends)
            stream = stream.strided(self._stride)
            outputs = []
            for block, dilation in self._blocks:
                codes = block(codes, StreamEnds(stream, dilation, self._mirrored), stream)
                outputs.append(codes)
            frames = self._mfa(torch.cat(outputs, dim=1))
            pooled = [self._pooling(utterance)[None] for utterance in stream.split(frames)]
            # row by row, because sums of several rows at once may be rounded in another order
            return torch.cat([torch.addmm(self._bias, row, self._matrix) for row in pooled])
