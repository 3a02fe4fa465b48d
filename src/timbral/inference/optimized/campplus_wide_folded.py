"""The wide CAM++ folded for inference on a CPU: the network of `WideCampplusEncoder` with its norms
and ReLUs in the products beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.campplus import DenseBlock
from timbral.encoders.campplus_wide import StridedFront, WideCampplusEncoder
from timbral.encoders.layers.conv import FrameConv2d
from timbral.encoders.layers.norm import BatchNorm
from timbral.inference.optimized.campplus_dense import BLOCK_ROWS, FoldedDenseBlock
from timbral.inference.optimized.folding import scaled_rows, statistics
from timbral.inference.optimized.frame_stream import FrameStream, SegmentedStream
from timbral.inference.optimized.products import FrontConvolution, Product, multiplies_in_onednn

__all__ = ["FoldedWideCampplus"]

STRIDE = 4
"""frames of the filter banks to one of the last block"""
GAP = 4
"""frames between utterances: one where there are fewest, as far as a layer sees"""
SIZE_STEP = 32
"""of a stream: few shapes, for which oneDNN keeps kernels"""
USUAL_FRAMES = 200


class FoldedStridedFront:
    """`StridedFront` of a stream: (F, M) -> (F / 2, M / 8 × C), a mel's channels together."""

    def __init__(self, front: StridedFront, mels: int, dtype: torch.dtype) -> None:
        def folded(conv: FrameConv2d, norm: BatchNorm, frames: int, bands: int) -> FrontConvolution:
            mel_stride, frame_stride = (int(stride) for stride in conv.stride)
            weight, bias = scaled_rows(conv.weight, norm)
            return FrontConvolution(weight, bias, mel_stride, frames, bands, dtype, frame_stride)

        whole, half = USUAL_FRAMES, USUAL_FRAMES // 2
        block = front.block
        self._conv1 = folded(front.conv1, front.norm1, whole, mels)
        self._conv2 = folded(front.conv2, front.norm2, whole, mels // 2)
        self._conv3 = folded(front.conv3, front.norm3, whole, mels // 2)
        self._block1 = folded(block.conv1, block.norm1, half, mels // 4)
        self._block2 = folded(block.conv2, block.norm2, half, mels // 4)
        self._conv4 = folded(front.conv4, front.norm4, half, mels // 4)

    def __call__(self, features: Tensor, stream: FrameStream, halved: FrameStream) -> Tensor:
        seen = stream.zero_gaps(self._conv1(features[..., None]), 0)
        seen = stream.zero_gaps(self._conv2(seen), 0)
        seen = halved.zero_gaps(self._conv3(seen), 0)
        hidden = halved.zero_gaps(self._block1(seen), 0)
        seen = halved.zero_gaps(self._block2(hidden, seen), 0)
        return halved.zero_gaps(self._conv4(seen), 0).flatten(1)


class FoldedTdnn:
    """The layer of kernel 3, its norm and ReLU: (F, K) -> (F, C)."""

    def __init__(self, encoder: WideCampplusEncoder, dtype: torch.dtype) -> None:
        weight, bias = scaled_rows(encoder.tdnn.weight, encoder.tdnn_norm)  # (C, K, 3)
        self._taps = Product(weight.permute(2, 0, 1).flatten(0, 1), None, dtype)
        self._bias = bias.to(dtype)

    def __call__(self, frames: Tensor) -> Tensor:
        past, now, ahead = self._taps(frames).chunk(3, dim=1)
        outputs = now + self._bias
        outputs[1:] += past[:-1]
        outputs[:-1] += ahead[1:]
        return outputs.relu_()


class FoldedWideCampplus:
    """`WideCampplusEncoder.embed_features` in `dtype`, for weights as they are now."""

    @torch.inference_mode()
    def __init__(self, encoder: WideCampplusEncoder, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._size_step = SIZE_STEP if multiplies_in_onednn(dtype) else STRIDE
        self._front = FoldedStridedFront(encoder.front, encoder.frontend.num_features, dtype)
        self._tdnn = FoldedTdnn(encoder, dtype)
        self._blocks: list[FoldedDenseBlock] = []
        self._segments: list[int] = []
        for block in encoder.blocks:
            assert isinstance(block, DenseBlock)
            self._blocks.append(FoldedDenseBlock(block, dtype))
            self._segments.append(block.segment_frames)
        self._scale, self._offset = (values.float() for values in encoder.norm.scale_and_offset())
        matrix, bias = scaled_rows(encoder.linear.weight, encoder.linear_norm)
        self._matrix, self._bias = matrix.t().float().contiguous(), bias.float()

    @torch.inference_mode()
    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        stream = FrameStream.of(frame_lengths.tolist(), GAP, self._size_step, STRIDE)
        halved = stream.halved()
        last = halved.halved()
        rows = BLOCK_ROWS * torch.get_num_threads()
        # every product below is asked for in its own precision
        with torch.autocast("cpu", enabled=False):
            early = SegmentedStream(halved, self._segments[0], rows, self._dtype)
            late = SegmentedStream(last, self._segments[-1], rows, self._dtype)
            gathered = stream.gather(features.to(self._dtype))
            frames = self._tdnn(self._front(gathered, stream, halved))
            for block, segmented in zip(self._blocks, (early, late, late), strict=True):
                frames = block(frames, segmented)
            frames = (frames.float() * self._scale).add_(self._offset).relu_()
            pooled = torch.stack([statistics(utterance) for utterance in last.split(frames)])
            return torch.addmm(self._bias, pooled, self._matrix)
