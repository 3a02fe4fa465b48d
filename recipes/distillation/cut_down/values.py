"""Outputs and weights of layers in evaluation mode, and measures of error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timbral.encoders.campplus import CampplusLayers
from timbral.encoders.layers.norm import BatchNorm

__all__ = [
    "EVERYWHERE",
    "flat",
    "moments",
    "outputs_of",
    "set_last",
    "set_norm",
    "set_product",
    "unexplained",
]

EVERYWHERE = torch.ones(1, 1, dtype=torch.bool)
"""a mask of crops without padding"""


def flat(frames: Tensor) -> Tensor:
    """(N, F, C) -> (N F, C)."""
    return frames.flatten(0, 1)


def outputs_of(norm: BatchNorm, frames: Tensor) -> Tensor:
    """The outputs of a norm in evaluation mode, for frames (..., C)."""
    scale, offset = norm.scale_and_offset()
    return torch.addcmul(offset.float(), frames, scale.float())


def set_norm(norm: BatchNorm, rows: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Give a norm the statistics of rows (N, C), and weights (C,) and bias (C,)."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(rows.float().mean(0))
    norm.running_var.copy_(rows.float().var(0))
    norm.weight.data.copy_(weight)
    norm.bias.data.copy_(bias)


def set_product(product: nn.Conv1d, matrix: Tensor, bias: Tensor) -> None:
    assert product.bias is not None
    product.weight.data.copy_(matrix[:, :, None])
    product.bias.data.copy_(bias)


def set_last(network: CampplusLayers, matrix: Tensor, bias: Tensor) -> None:
    """Give the last product, and the norm after it, a matrix (E, 2 C) and a bias (E,)."""
    network.linear.weight.data.copy_(matrix)
    norm = network.linear_norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(-bias)
    norm.running_var.fill_(1.0 - norm.eps)


def unexplained(rows: Tensor, target: Tensor) -> Tensor:
    """The mean fraction of the variance of `target` columns (N, C) that `rows` do not explain."""
    error = (rows - rows.mean(0)) - (target - target.mean(0))
    return (error.square().mean(0) / target.var(0).clamp(min=1e-3)).mean()


def moments(frames: Tensor) -> Tensor:
    """Means and deviations over time: (N, F, C) -> (N, 2 C)."""
    return torch.cat([frames.mean(1), (frames.var(1) + 1e-4).sqrt()], dim=1)
