"""CAM++ folded for inference on a CPU, with a third less work besides multiplications."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import torch
from torch import Tensor

from timbral.encoders.campplus import CampplusLayers, DenseBlock
from timbral.inference.optimized.campplus_dense import BLOCK_ROWS, FoldedDenseBlock
from timbral.inference.optimized.campplus_front import CHUNK_FRAMES, FoldedFront
from timbral.inference.optimized.folding import scaled_rows, statistics
from timbral.inference.optimized.frame_stream import FrameStream, SegmentedStream
from timbral.inference.optimized.products import Convolution

__all__ = ["FoldedCampplus", "tdnn_weight"]

GAP = 4
"""frames between utterances; after a stride of 2 they are 2, as many as the next layers see, and 1
after a stride of 4"""
SIZE_STEP = 32
"""sizes of streams are multiples of this, as oneDNN caches kernels by shape"""


def tdnn_weight(encoder: CampplusLayers, weight: Tensor) -> Tensor:
    """The weights (C, K, taps) of the layer after the front, as (taps, K, C).

    They are reordered from all mels of each channel to all channels of each mel, as the front
    returns them.
    """
    made, inputs, taps = weight.shape
    channels = encoder.front.conv1.out_channels
    by_mel = weight.view(made, channels, inputs // channels, taps).permute(3, 2, 1, 0)
    return by_mel.flatten(1, 2)


class FoldedTdnn:
    """The layer after the front, its norm and ReLU: (size, K) -> (size / stride, C)."""

    def __init__(self, encoder: CampplusLayers, dtype: torch.dtype) -> None:
        weight, bias = scaled_rows(encoder.tdnn.weight, encoder.tdnn_norm)
        weight = tdnn_weight(encoder, weight).permute(2, 1, 0)[..., None]
        strides = (1, int(encoder.tdnn.stride[0]))
        self._convolution = Convolution(weight, bias, (1, CHUNK_FRAMES), dtype, strides=strides)

    def __call__(self, frames: Tensor) -> Tensor:
        return self._convolution(frames[None], relu=True)[0]


class FoldedCampplus:
    """`CampplusLayers.embed_features` in `dtype`, for the current weights."""

    @torch.inference_mode()
    def __init__(self, encoder: CampplusLayers, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._first_stride = encoder.front.frame_stride * int(encoder.tdnn.stride[0])
        blocks = [block for block in encoder.blocks if isinstance(block, DenseBlock)]
        self._strides = [block.stride for block in blocks]
        self._segments = [block.segment_frames for block in blocks]
        self._start_step = self._first_stride * prod(self._strides)
        self._block_rows = BLOCK_ROWS
        self._fold(encoder)
        self._scale, self._offset = (values.float() for values in encoder.norm.scale_and_offset())
        matrix, bias = scaled_rows(encoder.linear.weight, encoder.linear_norm)
        self._matrix, self._bias = matrix.t().float().contiguous(), bias.float()

    def _fold(self, encoder: CampplusLayers) -> None:
        """Build the layers over frames."""
        mels = encoder.frontend.num_features
        self._front = FoldedFront(encoder.front, mels, self._dtype)
        self._tdnn: Callable[[Tensor], Tensor] = FoldedTdnn(encoder, self._dtype)
        self._blocks: list[Callable[[Tensor, SegmentedStream], Tensor]] = []
        for block in encoder.blocks:
            assert isinstance(block, DenseBlock)
            self._blocks.append(FoldedDenseBlock(block, self._dtype))

    @torch.inference_mode()
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        lengths = frame_lengths.tolist()
        stream = FrameStream.of(lengths, GAP, SIZE_STEP, self._start_step)
        # every product below has its own precision
        with torch.autocast("cpu", enabled=False):
            gathered = stream.gather(features.to(self._dtype))
            frames = self._tdnn(self._front(gathered, stream))
            for block, segmented in zip(self._blocks, self._segmented(stream), strict=True):
                frames = block(frames, segmented)
            frames = (frames.float() * self._scale).add_(self._offset).relu_()
            last = stream.strided(self._first_stride * prod(self._strides))
            pooled = torch.stack([statistics(utterance) for utterance in last.split(frames)])
            return self._embeddings(pooled)

    def _segmented(self, stream: FrameStream) -> Iterator[SegmentedStream]:
        """The stream of each block."""
        rows = self._block_rows * torch.get_num_threads()
        stride = self._first_stride
        made: dict[tuple[int, int], SegmentedStream] = {}
        for block_stride, frames in zip(self._strides, self._segments, strict=True):
            key = (stride, frames)
            if key not in made:
                made[key] = SegmentedStream(stream.strided(stride), frames, rows)
            yield made[key]
            stride *= block_stride

    def _embeddings(self, pooled: Tensor) -> Tensor:
        return torch.addmm(self._bias, pooled, self._matrix)
