"""ECAPA-TDNN's attentive statistics in 8 bits: products of codes, sums in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.ecapa import AttentiveStatistics, PlainAttentiveStatistics
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import LARGEST_CODE, ByteProduct, write_codes
from timbral.inference.optimized.byte_rounding import RoundedWeights
from timbral.inference.optimized.ecapa_byte_ranges import SeenEcapa
from timbral.inference.optimized.ecapa_pooling import (
    COLUMNS,
    LOG2_E,
    AttentivePooling,
    attention_layers,
)

__all__ = ["ByteAttentiveStatistics"]

TANH_STEP = 2 / LARGEST_CODE


class ByteAttentiveStatistics(AttentivePooling):
    """Attentive statistics of codes (F, C)."""

    def __init__(
        self,
        asp: AttentiveStatistics | PlainAttentiveStatistics,
        given: ByteChannels,
        numbers: ByteNumbers[SeenEcapa],
    ) -> None:
        super().__init__(asp, given.low, given.step)
        channels = len(given.low)
        matrix, bias, scores = attention_layers(asp)

        def hidden() -> RoundedWeights:
            return given.rounded(matrix[:, :channels], bias, numbers.seen.inputs[asp])

        self._hidden = ByteProduct(numbers.next(RoundedWeights, hidden), ONE)
        width = scores.in_features
        tanh = ByteChannels(
            *(torch.full((width,), each, dtype=torch.float64) for each in (-1.0, TANH_STEP))
        )

        def rounded() -> RoundedWeights:
            return tanh.rounded(scores.weight, scores.bias, numbers.seen.inputs[scores])

        weights = numbers.next(RoundedWeights, rounded)
        self._scores = []
        for start in range(0, channels, COLUMNS):
            rows = slice(start, start + COLUMNS)
            scale = [each[rows] * LOG2_E for each in (weights.steps, weights.bias)]
            parts = (weights.whole[rows].contiguous(), *scale)
            self._scores.append((rows, ByteProduct(RoundedWeights(*parts), ONE)))

    def _attention(self, hidden: Tensor) -> Tensor:
        numbers = hidden.add_(1.0).div_(TANH_STEP)
        return write_codes(numbers, torch.empty(hidden.shape, dtype=torch.uint8))
