"""Round weights to whole numbers so that their errors compensate for each other on typical inputs.

If each weight is rounded to the nearest number, its error is up to half a step, and errors add up
for inputs that are correlated. Here weights are rounded input by input, and the mean effect of each
rounding, on inputs that were seen, is subtracted from the weights that are not yet rounded (Frantar
et al., GPTQ, 2022). The effect of the inputs' means goes into the bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LARGEST_WEIGHT", "Moments", "RoundedWeights"]

LARGEST_WEIGHT = 127
RIDGE = 0.01
"""fraction of the mean variance that is added to each variance, as other recordings differ"""
BLOCK = 64
"""number of inputs after which all later weights are corrected at once"""


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
        """Add rows (N, K)."""
        if not self._count:
            self._origin = rows.mean(0)  # sums of squares far from it would cancel
            self._sum = torch.zeros(rows.shape[1], dtype=torch.float64)
            self._products = torch.zeros(rows.shape[1], rows.shape[1])
        rows = rows - self._origin
        self._sum += rows.sum(0)
        self._products.addmm_(rows.t(), rows)
        self._count += len(rows)

    def divided(self, steps: Tensor, lows: Tensor | float = 0.0) -> Moments:
        """The moments of (rows - lows) / steps, with both (K,); 0 where a step is 0."""
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
    """Weights (O, K) in s8, and the steps (O,) and bias (O,) of the outputs."""

    whole: Tensor
    steps: Tensor
    bias: Tensor

    @classmethod
    def of(cls, matrix: Tensor, bias: Tensor, inputs: Moments) -> RoundedWeights:
        """Round a matrix (O, K); the bias (O,) corrects the mean error on `inputs`."""
        matrix = matrix.double()
        largest = matrix.abs().amax(1)
        steps = torch.where(largest > 0, largest / LARGEST_WEIGHT, 1.0)
        whole = _rounded(matrix / steps[:, None], inputs.covariance)
        bias = bias + (matrix - whole * steps[:, None]) @ inputs.mean
        return cls(whole.to(torch.int8).contiguous(), steps.float(), bias.float())


def _rounded(weights: Tensor, covariance: Tensor) -> Tensor:
    """Weights (O, K) rounded to whole numbers of at most `LARGEST_WEIGHT`."""
    variances = covariance.diagonal()
    ridge = RIDGE * variances.mean()
    if not 0 < ridge < torch.inf:
        return weights.round()
    # the inputs that vary most come first, so that the others can compensate for their errors
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
    """How much of the error in an input's weight is subtracted from each later one's (K, K).

    In `order`, this is the upper triangular R of the inverse covariance R' R, with each row divided
    by its diagonal.
    """
    flipped = order.flip(0)
    covariance = covariance[flipped[:, None], flipped].div_(ridge)
    covariance.diagonal().add_(1.0)
    # The covariance is R⁻¹ R⁻¹': in reverse order, as here, R⁻¹ is Cholesky's lower factor.
    inverse = torch.linalg.cholesky(covariance).flip(0, 1)
    del covariance
    corrections: Tensor = torch.linalg.solve_triangular(inverse, torch.eye(len(order)), upper=True)
    return corrections.div_(corrections.diagonal().clone()[:, None])
