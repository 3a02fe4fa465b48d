"""ECAPA-TDNN's attentive statistics over one utterance, some channels at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from timbral.encoders.ecapa import (
    MIN_VARIANCE,
    WESPEAKER_VARIANCE,
    AttentiveStatistics,
    PlainAttentiveStatistics,
)
from timbral.inference.optimized.ecapa_layers import Rectified
from timbral.inference.optimized.products import Product

__all__ = ["COLUMNS", "LOG2_E", "AttentivePooling", "FoldedAttentiveStatistics", "attention_layers"]

LOG2_E = math.log2(math.e)
"""factor of scores, because exp2 takes a third of the time of exp"""
COLUMNS = 256
"""channels at a time, whose numbers in float32 fit a core's cache"""


def attention_layers(
    asp: AttentiveStatistics | PlainAttentiveStatistics,
) -> tuple[Tensor, Tensor, nn.Linear]:
    """Matrix (A, C + context) and bias (A,) of the attention's first product; its second layer."""
    if isinstance(asp, PlainAttentiveStatistics):
        return asp.hidden.weight, asp.hidden.bias, asp.scores
    bias = asp.tdnn.conv.bias
    assert bias is not None
    return asp.tdnn.conv.matrix(), bias, asp.conv


def _weighted_statistics(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of values (F, C), weighted by 2 to the power of `scores` (F, C).

    Overwrites `scores`.
    """
    weights = scores.sub_(scores.amax(0)).exp2_()
    total = weights.sum(0)
    center = values.mean(0)  # of centered values, mean² is small beside the mean of squares
    values = values - center
    weighted = weights.mul_(values)
    mean = weighted.sum(0).div_(total)
    square = weighted.mul_(values).sum(0).div_(total)
    return center.add_(mean), square.sub_(mean.square_())


class AttentivePooling:
    """Both kinds of attentive statistics: frames (F, C) of one utterance -> (2 C,) in float32.

    What a frame holds, x, stands for the numbers low + step · x of each channel. Subclasses set
    `_hidden`, the attention's first product without its context, and `_scores`, its second for some
    channels at a time.
    """

    _hidden: Callable[[Tensor], Tensor]
    _scores: list[tuple[slice, Callable[[Tensor], Tensor]]]

    def __init__(
        self, asp: AttentiveStatistics | PlainAttentiveStatistics, low: Tensor, step: Tensor
    ) -> None:
        self._low, self._step = low.float(), step.float()
        self._is_plain = isinstance(asp, PlainAttentiveStatistics)
        if isinstance(asp, PlainAttentiveStatistics):
            self._min_variance = asp.min_variance
        else:
            self._min_variance = MIN_VARIANCE
            self._norm = [each.float() for each in asp.tdnn.norm.scale_and_offset()]
        matrix, _, _ = attention_layers(asp)
        self._context = matrix[:, len(low) :].t().contiguous()

    def _attention(self, hidden: Tensor) -> Tensor:
        """What the second product takes, of the first one's tanh (F, A), which it may overwrite."""
        raise NotImplementedError

    def __call__(self, frames: Tensor) -> Tensor:
        hidden = self._hidden(frames).float()
        if len(self._context):
            hidden += self._seen_of_all(frames) @ self._context
        if not self._is_plain:
            scale, offset = self._norm
            hidden = torch.addcmul(offset, hidden.relu_(), scale)
        attention = self._attention(hidden.tanh_())
        means, variances = [], []
        for columns, product in self._scores:
            scores = product(attention).float()
            mean, variance = _weighted_statistics(scores, frames[:, columns].float())
            means.append(mean)
            variances.append(variance)
        variance = self._variance(variances).clamp_(min=self._min_variance)
        return torch.cat([self._mean(means), variance.sqrt_()])

    def _seen_of_all(self, frames: Tensor) -> Tensor:
        """Mean and deviation of all frames (1, 2 C), the global context of the attention."""
        count, means, variances = len(frames), [], []
        for columns, _ in self._scores:
            values = frames[:, columns].float()
            mean = values.mean(0)
            squares = (values - mean).square_().sum(0)
            means.append(mean)
            variances.append(squares.div_(max(1, count - 1) if self._is_plain else count))
        variance = self._variance(variances)
        if self._is_plain:
            variance = variance.clamp_(min=0.0).add_(WESPEAKER_VARIANCE)
        else:
            variance = variance.clamp_(min=MIN_VARIANCE)
        return torch.cat([self._mean(means), variance.sqrt_()])[None]

    def _mean(self, of_frames: list[Tensor]) -> Tensor:
        return torch.addcmul(self._low, torch.cat(of_frames), self._step)

    def _variance(self, of_frames: list[Tensor]) -> Tensor:
        return torch.cat(of_frames).mul_(self._step.square())


class FoldedAttentiveStatistics(AttentivePooling):
    """Attentive statistics with products in `dtype`."""

    def __init__(
        self,
        asp: AttentiveStatistics | PlainAttentiveStatistics,
        given: Rectified,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(asp, given.offset, given.sign)
        self._dtype, channels = dtype, len(given.sign)
        matrix, bias, scores = attention_layers(asp)
        folded = (matrix[:, :channels].double() * given.sign).to(dtype).double()
        self._hidden = Product(folded, bias + folded @ (given.sign * given.offset), dtype)
        # a channel's bias is the same for all frames, which a softmax over them does not see
        weight = scores.weight * LOG2_E
        self._scores = [
            (slice(start, start + COLUMNS), Product(weight[start : start + COLUMNS], None, dtype))
            for start in range(0, channels, COLUMNS)
        ]

    def _attention(self, hidden: Tensor) -> Tensor:
        return hidden.to(self._dtype)
