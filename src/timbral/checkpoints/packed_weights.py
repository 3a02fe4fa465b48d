"""Weights in 8 bits: a quarter of the size on disk, read back as float32.

The numbers of a matrix or one-dimensional kernel (out, …) are taken row by row in groups of
`GROUP`, each stored as whole numbers Q, |Q| ≤ 127, and one scale s: W ≈ s · Q, so that the error of
a weight is at most half a step of its group. Two-dimensional kernels, which are few and matter
more, are stored as bfloat16; tensors of one dimension (biases, norms, their statistics) are not
changed. In the file Q has the name of the weight, and s (out, groups) that name and `:scale`, a
suffix that no tensor of a network has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from timbral.errors import CheckpointError

__all__ = ["pack", "unpack"]

SCALE = ":scale"
LARGEST = 127
GROUP = 32
PACKED_DIMENSIONS = (2, 3)


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, with packed matrices and kernels."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.ndim < min(PACKED_DIMENSIONS):
            packed[name] = tensor
        elif tensor.ndim not in PACKED_DIMENSIONS:
            packed[name] = tensor.detach().bfloat16()
        else:
            packed[name], packed[name + SCALE] = _packed(tensor.detach().float())
    return packed


def unpack(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name; those in 8 bits become float32.

    Raises CheckpointError for a scale that does not fit a weight.
    """
    unpacked = {name: tensor for name, tensor in tensors.items() if not name.endswith(SCALE)}
    for name in tensors.keys() - unpacked.keys():
        scale, codes = tensors[name], unpacked.get(name.removesuffix(SCALE))
        if codes is None or not _fits(scale, codes):
            raise CheckpointError(f"{path}: {name} is not the scale of an 8-bit weight")
        steps = scale.float()[:, :, None]
        values = (_grouped(codes.float()) * steps).flatten(1)
        unpacked[name.removesuffix(SCALE)] = values[:, : codes[0].numel()].reshape(codes.shape)
    return unpacked


def _packed(tensor: Tensor) -> tuple[Tensor, Tensor]:
    groups = _grouped(tensor)
    scale = (groups.abs().amax(dim=2) / LARGEST).bfloat16()
    steps = scale.float()[:, :, None]
    codes = (groups / torch.where(steps > 0, steps, 1.0)).round().clamp(-LARGEST, LARGEST)
    numbers = codes.flatten(1)[:, : tensor[0].numel()].reshape(tensor.shape)
    return numbers.to(torch.int8), scale


def _grouped(tensor: Tensor) -> Tensor:
    """(out, …) to (out, groups, GROUP), padded with zeros."""
    rows = tensor.flatten(1)
    if missing := -rows.shape[1] % GROUP:
        rows = functional.pad(rows, (0, missing))
    return rows.reshape(len(rows), -1, GROUP)


def _fits(scale: Tensor, codes: Tensor) -> bool:
    if codes.dtype is not torch.int8 or codes.ndim not in PACKED_DIMENSIONS or not codes.numel():
        return False
    shape = (len(codes), -(-codes[0].numel() // GROUP))
    return scale.is_floating_point() and scale.shape == shape
