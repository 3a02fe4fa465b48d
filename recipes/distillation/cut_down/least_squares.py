"""Ridge regression over many rows, and which columns to keep."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["best_columns", "ridge"]

ROWS = 16_384
"""rows per block: products within it are summed in float32, the blocks in float64"""


def ridge(
    inputs: Tensor, targets: Tensor, fraction: float = 1e-3, *, bias: bool = True
) -> tuple[Tensor, Tensor]:
    """Matrix (O, K) and bias (O,) that predict targets (N, O) from inputs (N, K).

    The penalty is `fraction` of the inputs' mean variance. Without `bias` the bias is zero.
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
    """The `count` columns (N, K) that predict targets (N, O) best, chosen greedily.

    Each is the one that explains most of the variance that is left by those before it.
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
