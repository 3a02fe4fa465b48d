"""CAM++ in 8 bits: `FoldedCampplus` with products and convolutions over frames in whole numbers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from timbral.encoders.campplus import CampplusLayers, DenseBlock
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_numbers import ByteNumbers, in_one_thread
from timbral.inference.optimized.byte_products import ByteProduct
from timbral.inference.optimized.byte_ranges import Range
from timbral.inference.optimized.byte_rounding import RoundedWeights
from timbral.inference.optimized.campplus_byte_dense import BLOCK_ROWS, ByteDenseBlock
from timbral.inference.optimized.campplus_byte_front import ByteFront
from timbral.inference.optimized.campplus_byte_ranges import SeenCampplus
from timbral.inference.optimized.campplus_folded import FoldedCampplus, tdnn_weight
from timbral.inference.optimized.folding import scaled_rows

__all__ = ["ByteCampplus"]


class ByteTdnn:
    """The layer after the front, its norm and ReLU: codes (size, K) -> (size / stride, C)."""

    def __init__(
        self,
        encoder: CampplusLayers,
        given: ByteChannels,
        channels: ByteChannels,
        numbers: ByteNumbers[SeenCampplus],
    ) -> None:
        """From codes of `given`, repeated for each mel, to codes of the first of `channels`."""
        weight, bias = scaled_rows(encoder.tdnn.weight, encoder.tdnn_norm)
        taps = tdnn_weight(encoder, weight)
        self._taps, self._inputs = taps.shape[:2]
        self._stride = int(encoder.tdnn.stride[0])

        def rounded() -> RoundedWeights:
            matrix = taps.permute(2, 0, 1).flatten(1)
            steps = given.step.repeat(matrix.shape[1] // len(given.step))
            folded = channels[: len(matrix)].as_codes(matrix * steps, bias)
            inputs = numbers.seen.inputs.pop(encoder.tdnn)
            return RoundedWeights.of(*folded, inputs.divided(steps))

        self._product = ByteProduct(numbers.next(RoundedWeights, rounded), ONE)

    def __call__(self, codes: Tensor) -> Tensor:
        beside = self._taps // 2
        padded = codes.new_zeros(len(codes) + 2 * beside, self._inputs)
        padded[beside:-beside] = codes
        # the frames of each row, beside each other
        size = (len(codes) // self._stride, self._taps * self._inputs)
        rows = padded.as_strided(size, (self._stride * self._inputs, 1)).contiguous()
        return self._product(rows, code=ONE)


class ByteCampplus(FoldedCampplus):
    """`CampplusLayers.embed_features` in 8 bits, for the current weights.

    The last bit of a number can change a code, and thereby visible digits of a vector. So whatever
    would be rounded differently in a batch is computed for each utterance alone. Sums of whole
    numbers would not, because they are exact.
    """

    def __init__(self, encoder: CampplusLayers) -> None:
        super().__init__(encoder, torch.float32)

    def _fold(self, encoder: CampplusLayers) -> None:
        self._block_rows = BLOCK_ROWS
        with in_one_thread():
            self._fold_in_bytes(encoder)

    def _fold_in_bytes(self, encoder: CampplusLayers) -> None:
        numbers = ByteNumbers(encoder, partial(SeenCampplus, encoder))
        front = ByteFront(encoder.front, encoder.frontend.num_features, numbers)
        self._front = front
        blocks = [block for block in encoder.blocks if isinstance(block, DenseBlock)]
        channels = [
            numbers.next(ByteChannels, partial(_channels, block, numbers)) for block in blocks
        ]
        self._tdnn = ByteTdnn(encoder, front.made, channels[0], numbers)
        following = [*channels[1:], None]
        self._blocks = [
            ByteDenseBlock(*each, numbers) for each in zip(blocks, channels, following, strict=True)
        ]
        numbers.keep()

    def _embeddings(self, pooled: Tensor) -> Tensor:
        # row by row, because sums of several rows at once may be rounded in another order
        return torch.cat([torch.addmm(self._bias, row, self._matrix) for row in pooled[:, None]])


def _channels(block: DenseBlock, numbers: ByteNumbers[SeenCampplus]) -> ByteChannels:
    return ByteChannels.before(block.norm, Range.of(numbers.seen.frames(block)))
