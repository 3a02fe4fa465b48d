"""ECAPA-TDNN folded for inference on a CPU: no norms, no padding within a batch."""

from __future__ import annotations

from dataclasses import replace

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
from timbral.inference.optimized.ecapa_layers import FoldedLayer, FoldedSERes2NetBlock, Rectified
from timbral.inference.optimized.ecapa_pooling import FoldedAttentiveStatistics
from timbral.inference.optimized.frame_stream import FrameStream
from timbral.inference.optimized.products import MIN_ROWS
from timbral.inference.optimized.stream_ends import StreamEnds

__all__ = ["FoldedEcapa"]

SIZE_STEP = 16
"""sizes of streams are multiples of this, because oneDNN caches kernels by shape"""


class FoldedEcapa:
    """`EcapaEncoder.embed_features` in `dtype`, for the current weights."""

    @torch.inference_mode()
    def __init__(self, encoder: EcapaEncoder, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._mirrored = encoder.config.variant == "speechbrain"
        self._stride, self._beside = encoder.input.stride, encoder.input.padding
        features = Rectified.plain(encoder.frontend.num_features)
        self._zero = features.zero.to(dtype)
        self._input = FoldedLayer(encoder.input.conv, encoder.input.norm, features, dtype)
        self._blocks: list[tuple[FoldedSERes2NetBlock, int]] = []
        given = self._input.made
        for block in encoder.blocks:
            assert isinstance(block, SERes2NetBlock)
            self._blocks.append((FoldedSERes2NetBlock(block, given, dtype), block.dilation))
            given = Rectified.plain(encoder.config.channels)
        mfa, asp = encoder.mfa, encoder.asp
        assert isinstance(mfa, TimeDelayLayer | PlainLinear)
        norm = mfa.norm if isinstance(mfa, TimeDelayLayer) else None
        joined = Rectified.plain(mfa.conv.in_channels)
        self._mfa = FoldedLayer(mfa.conv, norm, joined, dtype)
        assert isinstance(asp, AttentiveStatistics | PlainAttentiveStatistics)
        self._pooling = FoldedAttentiveStatistics(asp, self._mfa.made, dtype)
        scale, offset = encoder.asp_bn.scale_and_offset()
        matrix = encoder.fc.weight.double()
        self._bias = (encoder.fc.bias + matrix @ offset).float()
        self._matrix = (matrix * scale).t().float().contiguous()

    @torch.inference_mode()
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        gap = 2 * self._stride * max(dilation for _, dilation in self._blocks)
        lengths = frame_lengths.tolist()
        step = SIZE_STEP * self._stride
        stream = FrameStream.of(lengths, gap, step, self._stride, gap_at_end=False)
        stream = replace(stream, size=max(stream.size, MIN_ROWS * self._stride))
        # every product below has its own precision
        with torch.autocast("cpu", enabled=False):
            ends = StreamEnds(stream, self._beside, self._mirrored)
            gathered = stream.gather(features.to(self._dtype))
            frames = self._input(ends.padded(gathered, self._zero))
            stream = stream.strided(self._stride)
            outputs = frames.new_empty(stream.size, len(self._blocks) * frames.shape[1])
            parts = outputs.chunk(len(self._blocks), dim=1)
            for (block, dilation), made in zip(self._blocks, parts, strict=True):
                block(frames, StreamEnds(stream, dilation, self._mirrored), stream, made)
                frames = made
            frames = self._mfa(outputs)
            pooled = torch.stack([self._pooling(utterance) for utterance in stream.split(frames)])
            return torch.addmm(self._bias, pooled, self._matrix)
