"""CAM++ in 8 bits: `FoldedCampplus` with products and convolutions over frames in whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.campplus import CampplusEncoder, DenseBlock
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_products import ByteProduct, Code
from timbral.inference.optimized.byte_ranges import Ranges
from timbral.inference.optimized.campplus_byte_dense import ByteDenseBlock
from timbral.inference.optimized.campplus_byte_front import ByteFront
from timbral.inference.optimized.campplus_folded import (
    ONEDNN_SIZE_STEP,
    FoldedCampplus,
    tdnn_weight,
)
from timbral.inference.optimized.folding import scaled_rows

__all__ = ["ByteCampplus"]

ALL_ROWS = 2**40
"""of a stream in one block: codes are small"""


class ByteTdnn:
    """The layer of kernel 5 and stride 2, its norm and ReLU: codes (size, K) -> (size / 2, C)."""

    def __init__(self, encoder: CampplusEncoder, code: Code, channels: ByteChannels) -> None:
        """Of codes of `code` to codes of `channels`, of which none is below zero."""
        weight, bias = scaled_rows(encoder.tdnn.weight, encoder.tdnn_norm)
        taps = tdnn_weight(encoder, weight)  # (5, K, C)
        self._inputs = taps.shape[1]
        matrix = taps.permute(2, 0, 1).flatten(1)
        self._product = ByteProduct(*channels[: len(matrix)].as_codes(matrix, bias), code)

    def __call__(self, codes: Tensor) -> Tensor:
        padded = codes.new_zeros(len(codes) + 4, self._inputs)
        padded[2:-2] = codes
        # the five frames of each row, beside each other
        size = (len(codes) // 2, 5 * self._inputs)
        rows = padded.as_strided(size, (2 * self._inputs, 1)).contiguous()
        return self._product(rows, code=ONE)


class ByteCampplus(FoldedCampplus):
    """`CampplusEncoder.embed_features` in 8 bits, for weights as they are now."""

    def __init__(self, encoder: CampplusEncoder) -> None:
        super().__init__(encoder, torch.float32)

    def _fold(self, encoder: CampplusEncoder) -> None:
        self._size_step, self._block_rows = ONEDNN_SIZE_STEP, ALL_ROWS
        ranges = Ranges(encoder)
        self._front = ByteFront(encoder.front, encoder.frontend.num_features, ranges)
        blocks = [block for block in encoder.blocks if isinstance(block, DenseBlock)]
        channels = [ByteChannels.for_numbers(ranges.inputs[block.norm]) for block in blocks]
        self._tdnn = ByteTdnn(encoder, ranges.code_behind(encoder.front.norm2), channels[0])
        self._blocks = [
            ByteDenseBlock(block, own, behind, ranges)
            for block, own, behind in zip(blocks, channels, [*channels[1:], None], strict=True)
        ]
