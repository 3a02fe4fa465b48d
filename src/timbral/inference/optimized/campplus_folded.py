"""CAM++ folded for inference on a CPU: the network of `CampplusEncoder` with a third less work
that is not multiplication."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from timbral.encoders.campplus import SEGMENT_FRAMES, CampplusEncoder, DenseBlock
from timbral.inference.optimized.campplus_dense import BLOCK_ROWS, FoldedDenseBlock
from timbral.inference.optimized.campplus_front import FoldedFront
from timbral.inference.optimized.folding import scaled_rows, statistics
from timbral.inference.optimized.frame_stream import FrameStream, SegmentedStream
from timbral.inference.optimized.products import multiplies_in_onednn

__all__ = ["ONEDNN_SIZE_STEP", "FoldedCampplus", "tdnn_weight"]

GAP = 4
"""frames between utterances: 2 behind the layer of stride 2, as far as the next layers see"""
ONEDNN_SIZE_STEP = 32
"""of a stream, where oneDNN multiplies: few shapes, for which it keeps kernels"""


def tdnn_weight(encoder: CampplusEncoder, weight: Tensor) -> Tensor:
    """The weights (C, K, 5) of the layer behind the front as (5, K, C), for what the front gives:
    a mel's channels together, where the weights are for a channel's mels."""
    channels, mels = encoder.config.front_channels, encoder.frontend.num_features // 8
    return weight.view(-1, channels, mels, 5).permute(3, 2, 1, 0).flatten(1, 2)


class FoldedTdnn:
    """The layer of kernel 5 and stride 2, its norm and ReLU: (size, K) -> (size / 2, C)."""

    def __init__(self, encoder: CampplusEncoder, dtype: torch.dtype) -> None:
        weight, bias = scaled_rows(encoder.tdnn.weight, encoder.tdnn_norm)
        weight = tdnn_weight(encoder, weight)
        self._inputs = weight.shape[1]
        # Rows of two frames each: taps -2 and -1 are the row before, 0 and 1 this row, 2 the next.
        pairs = (weight[0:2].flatten(0, 1), weight[2:4].flatten(0, 1), weight[4])
        self._before, self._here, self._after = (pair.to(dtype).contiguous() for pair in pairs)
        self._bias = bias.to(dtype)

    def __call__(self, frames: Tensor) -> Tensor:
        pairs = frames.new_zeros(len(frames) // 2 + 2, 2 * self._inputs)
        pairs[1:-1] = frames.view(len(frames) // 2, 2 * self._inputs)
        outputs = torch.addmm(self._bias, pairs[:-2], self._before)
        outputs.addmm_(pairs[1:-1], self._here)
        return outputs.addmm_(pairs[2:, : self._inputs], self._after).relu_()


class FoldedCampplus:
    """`CampplusEncoder.embed_features` in `dtype`, for weights as they are now."""

    @torch.inference_mode()
    def __init__(self, encoder: CampplusEncoder, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._size_step = 2
        self._block_rows = BLOCK_ROWS
        self._fold(encoder)
        self._scale, self._offset = (values.float() for values in encoder.norm.scale_and_offset())
        matrix, bias = scaled_rows(encoder.linear.weight, encoder.linear_norm)
        self._matrix, self._bias = matrix.t().float().contiguous(), bias.float()

    def _fold(self, encoder: CampplusEncoder) -> None:
        """Make the layers over frames."""
        if multiplies_in_onednn(self._dtype):
            self._size_step = ONEDNN_SIZE_STEP
        mels = encoder.frontend.num_features
        self._front = FoldedFront(encoder.front, mels, self._dtype)
        self._tdnn: Callable[[Tensor], Tensor] = FoldedTdnn(encoder, self._dtype)
        self._blocks: list[Callable[[Tensor, SegmentedStream], Tensor]] = []
        for block in encoder.blocks:
            assert isinstance(block, DenseBlock)
            self._blocks.append(FoldedDenseBlock(block, self._dtype))

    @torch.inference_mode()
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        stream = FrameStream.of(frame_lengths.tolist(), GAP, self._size_step)
        halved = stream.halved()
        block_rows = self._block_rows * torch.get_num_threads()
        # every product below is asked for in its own precision
        with torch.autocast("cpu", enabled=False):
            segmented = SegmentedStream(halved, SEGMENT_FRAMES, block_rows, self._dtype)
            gathered = stream.gather(features.to(self._dtype))
            frames = self._tdnn(self._front(gathered, stream))
            for block in self._blocks:
                frames = block(frames, segmented)
            frames = (frames.float() * self._scale).add_(self._offset).relu_()
            pooled = torch.stack([statistics(utterance) for utterance in halved.split(frames)])
            return self._embeddings(pooled)

    def _embeddings(self, pooled: Tensor) -> Tensor:
        return torch.addmm(self._bias, pooled, self._matrix)
