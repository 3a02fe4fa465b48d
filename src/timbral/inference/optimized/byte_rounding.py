"""Weights in whole numbers whose errors make up for each other on inputs such as were seen.

A weight rounded to the nearest is wrong by up to half a step, and inputs that rise and fall
together add such errors up. Here weights are rounded input by input, and what a rounding changes
on average over the inputs that were seen goes into the weights that are still to be rounded
(Frantar et al., GPTQ, 2022). The means of inputs are left to the bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LARGEST_WEIGHT", "Moments", "RoundedWeights"]

LARGEST_WEIGHT = 127
RIDGE = 0.01
"""of the mean variance, added to each: what was seen is not all there is"""
BLOCK = 64
"""of inputs, behind which the other weights are brought up to date at once"""


class Moments:
    """Mean (K,), in float64, and covariance (K, K) of rows."""

    def __init__(self) -> None:
        self._count = 0

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        moments = cls()
        moments.see(rows)
        return moments

    def see(self, rows: Tensor) -> None:
        """Rows (N, K)."""
        if not self._count:
            self._origin = rows.mean(0)  # sums of squares far from it would cancel
            self._sum = torch.zeros(rows.shape[1], dtype=torch.float64)
            self._products = torch.zeros(rows.shape[1], rows.shape[1])
        rows = rows - self._origin
        self._sum += rows.sum(0)
        self._products.addmm_(rows.t(), rows)
        self._count += len(rows)

    def divided(self, steps: Tensor, lows: Tensor | float = 0.0) -> Moments:
        """Of the rows, less `lows` (K,), divided by `steps` (K,); zero where a step is zero."""
        steps = torch.where(steps == 0, torch.inf, steps)
        made = Moments()
        made._count, made._origin = self._count, (self._origin - lows) / steps
        made._sum = self._sum / steps
        made._products = (self._products / steps[:, None].float()).div_(steps.float())
        return made

    @property
    def mean(self) -> Tensor:
        return self._origin + self._sum / self._count

    @property
    def covariance(self) -> Tensor:
        beside = (self._sum / self._count).float()
        return torch.addr(self._products, beside, beside, beta=1 / self._count, alpha=-1.0)


@dataclass(frozen=True)
class RoundedWeights:
    """Weights (O, K) in s8, the steps (O,) of the outputs, and their bias (O,)."""

    whole: Tensor
    steps: Tensor
    bias: Tensor

    @classmethod
    def of(cls, matrix: Tensor, bias: Tensor, inputs: Moments) -> RoundedWeights:
        """The bias makes up for what rounding changes on average of `inputs`."""
        matrix = matrix.double()
        largest = matrix.abs().amax(1)
        steps = torch.where(largest > 0, largest / LARGEST_WEIGHT, 1.0)
        whole = _rounded(matrix / steps[:, None], inputs.covariance)
        bias = bias + (matrix - whole * steps[:, None]) @ inputs.mean
        return cls(whole.to(torch.int8).contiguous(), steps.float(), bias.float())


def _rounded(weights: Tensor, covariance: Tensor) -> Tensor:
    """Weights (O, K) in whole numbers up to `LARGEST_WEIGHT`."""
    variances = covariance.diagonal()
    ridge = RIDGE * variances.mean()
    if not 0 < ridge < torch.inf:
        return weights.round()
    # what varies most first: the others make up for it
    order = variances.argsort(descending=True, stable=True)
    corrections = _corrections(covariance, ridge, order)
    left = weights[:, order].t().float().contiguous()  # (K, O)
    whole = torch.empty_like(left)
    for first in range(0, len(order), BLOCK):
        block = slice(first, first + BLOCK)
        now, passed = left[block], corrections[block, block]
        errors = torch.empty_like(now)
        for row in range(len(now)):
            rounded = now[row].round().clamp_(-LARGEST_WEIGHT, LARGEST_WEIGHT)
            whole[first + row] = rounded
            error = torch.sub(now[row], rounded, out=errors[row])
            now[row + 1 :].addr_(passed[row, row + 1 :], error, alpha=-1.0)
        left[first + BLOCK :] -= corrections[block, first + BLOCK :].t() @ errors
    return whole[order.argsort()].t()


def _corrections(covariance: Tensor, ridge: Tensor, order: Tensor) -> Tensor:
    """How much of the error in an input's weight (K,) goes into that of each one behind it, in
    `order`: the upper R of the inverse covariance R' R, each row divided by its diagonal."""
    flipped = order.flip(0)
    covariance = covariance[flipped[:, None], flipped].div_(ridge)
    covariance.diagonal().add_(1.0)
    # the covariance is R⁻¹ R⁻¹', and so flipped over, as here, the product of Cholesky's factors
    inverse = torch.linalg.cholesky(covariance).flip(0, 1)
    del covariance
    corrections: Tensor = torch.linalg.solve_triangular(inverse, torch.eye(len(order)), upper=True)
    return corrections.div_(corrections.diagonal().clone()[:, None])
