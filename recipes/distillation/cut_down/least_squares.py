"""Ridge regression over many rows, and which columns to keep."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["best_columns", "ridge"]

ROWS = 16_384
"""at once, in float64 sums of float32 products"""


def ridge(
    inputs: Tensor, targets: Tensor, fraction: float = 1e-3, *, bias: bool = True
) -> tuple[Tensor, Tensor]:
    """Matrix (O, K) and bias (O,): targets (N, O) from inputs (N, K).

    `fraction` of the inputs' mean variance is what is added to each one's. Without `bias` that
    is zero.
    """
    mean_in, mean_out = (values.double().mean(0) * float(bias) for values in (inputs, targets))
    square = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=torch.float64)
    cross = torch.zeros(inputs.shape[1], targets.shape[1], dtype=torch.float64)
    for x, y in zip(torch.split(inputs, ROWS), torch.split(targets, ROWS), strict=True):
        x = x.float() - mean_in.float()
        y = y.float() - mean_out.float()
        square += x.t() @ x
        cross += x.t() @ y
    square += fraction * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
    matrix = torch.linalg.solve(square, cross).t()
    return matrix.float(), (mean_out - matrix @ mean_in).float()


def best_columns(columns: Tensor, targets: Tensor, count: int) -> Tensor:
    """Which `count` columns (N, K) say most about targets (N, O), chosen one after another.

    Each is the one that takes away most of what those before it leave of the targets.
    """
    x = (columns - columns.mean(0)).double()
    y = (targets - targets.mean(0)).double()
    square, cross = x.t() @ x, x.t() @ y
    least = 1e-6 * square.diagonal().mean()
    chosen: list[int] = []
    for _ in range(count):
        own = square.diagonal().clone()
        gain = cross.square().sum(1) / own.clamp(min=least)
        gain[own <= least] = -1.0
        gain[chosen] = -2.0
        best = int(gain.argmax())
        chosen.append(best)
        if own[best] > least:
            told = square[best] / own[best]
            cross -= torch.outer(told, cross[best])
            square -= torch.outer(told, square[best])
    return torch.tensor(sorted(chosen))
