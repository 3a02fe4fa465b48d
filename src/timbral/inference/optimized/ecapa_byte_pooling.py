"""ECAPA-TDNN's attentive statistics in 8 bits: products of codes, sums in float32.

Each utterance is computed alone, some channels at a time, so that intermediate results stay in a
core's cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.ecapa import (
    MIN_VARIANCE,
    WESPEAKER_VARIANCE,
    AttentiveStatistics,
    PlainAttentiveStatistics,
)
from timbral.inference.optimized.byte_channels import ONE, ByteChannels
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import LARGEST_CODE, ByteProduct, write_codes
from timbral.inference.optimized.byte_rounding import RoundedWeights
from timbral.inference.optimized.ecapa_byte_ranges import SeenEcapa
from timbral.inference.optimized.ecapa_pooling import COLUMNS, LOG2_E, weighted_statistics

__all__ = ["ByteAttentiveStatistics"]

TANH_STEP = 2 / LARGEST_CODE


class ByteAttentiveStatistics:
    """Both kinds of attentive statistics: codes (F, C) of one utterance -> (2 C,)."""

    def __init__(
        self,
        asp: AttentiveStatistics | PlainAttentiveStatistics,
        given: ByteChannels,
        numbers: ByteNumbers[SeenEcapa],
    ) -> None:
        channels = len(given.low)
        self._low, self._step = given.low.float(), given.step.float()
        self._is_plain = isinstance(asp, PlainAttentiveStatistics)
        if isinstance(asp, PlainAttentiveStatistics):
            matrix, bias, scores = asp.hidden.weight, asp.hidden.bias, asp.scores
            self._min_variance = asp.min_variance
        else:
            matrix, bias, scores = asp.tdnn.conv.matrix(), asp.tdnn.conv.bias, asp.conv
            self._min_variance = MIN_VARIANCE
            self._norm = [each.float() for each in asp.tdnn.norm.scale_and_offset()]

        def hidden() -> RoundedWeights:
            return given.rounded(matrix[:, :channels], bias, numbers.seen.inputs[asp])

        self._hidden = ByteProduct(numbers.next(RoundedWeights, hidden), ONE)
        self._context = matrix[:, channels:].t().contiguous()
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

    def __call__(self, codes: Tensor) -> Tensor:
        hidden = self._hidden(codes)
        if len(self._context):
            hidden += self._seen_of_all(codes) @ self._context
        if not self._is_plain:
            scale, offset = self._norm
            hidden = torch.addcmul(offset, hidden.relu_(), scale)
        numbers = hidden.tanh_().add_(1.0).div_(TANH_STEP)
        attention = write_codes(numbers, torch.empty(hidden.shape, dtype=torch.uint8))
        means, variances = [], []
        for columns, product in self._scores:
            mean, variance = weighted_statistics(product(attention), codes[:, columns].float())
            means.append(mean)
            variances.append(variance)
        variance = self._variance(variances).clamp_(min=self._min_variance)
        return torch.cat([self._mean(means), variance.sqrt_()])

    def _seen_of_all(self, codes: Tensor) -> Tensor:
        """Mean and deviation of all frames (1, 2 C), the global context of the attention."""
        count, means, variances = len(codes), [], []
        for columns, _ in self._scores:
            frames = codes[:, columns].float()
            mean = frames.mean(0)
            squares = frames.sub_(mean).square_().sum(0)
            means.append(mean)
            variances.append(squares.div_(max(1, count - 1) if self._is_plain else count))
        variance = self._variance(variances)
        if self._is_plain:
            variance = variance.clamp_(min=0.0).add_(WESPEAKER_VARIANCE)
        else:
            variance = variance.clamp_(min=MIN_VARIANCE)
        return torch.cat([self._mean(means), variance.sqrt_()])[None]

    def _mean(self, of_codes: list[Tensor]) -> Tensor:
        return torch.addcmul(self._low, torch.cat(of_codes), self._step)

    def _variance(self, of_codes: list[Tensor]) -> Tensor:
        return torch.cat(of_codes).mul_(self._step.square())
