"""Weights in few bits: a quarter of the size on disk or less, read back as float32.

The numbers of a matrix or one-dimensional kernel (out, …) are taken row by row in groups of
`GROUP`, each stored as whole numbers Q of 8 bits or fewer and one scale s: W ≈ s · Q, so that the
error of a weight is at most half a step of its group. Two-dimensional kernels, which are few and
matter more, are stored as bfloat16; tensors of one dimension (biases, norms, their statistics) are
not changed. With NAME the name of a weight, the file holds

    NAME            Q; of 8 bits as int8 (out, …), of fewer as one sequence of bits in bytes (uint8)
    NAME:scale      s (out, groups)
    NAME:shape      with fewer than 8 bits: how many, and the shape of the weight

Q of n bits is stored as Q + 2^(n - 1), its lowest bit first. No tensor of a network has a name with
such a suffix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from timbral.errors import CheckpointError

__all__ = ["BITS", "PACKED_DIMENSIONS", "pack", "rounded", "unpack"]

BITS = range(4, 9)
"""numbers of bits in which weights can be packed"""
SCALE, SHAPE = ":scale", ":shape"
GROUP = 32
PACKED_DIMENSIONS = (2, 3)


def pack(tensors: Mapping[str, Tensor], bits: int = 8) -> dict[str, Tensor]:
    """Tensors by name, with packed matrices and kernels."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.ndim < min(PACKED_DIMENSIONS):
            packed[name] = tensor
        elif tensor.ndim not in PACKED_DIMENSIONS:
            packed[name] = tensor.detach().bfloat16()
        else:
            codes, packed[name + SCALE] = _packed(tensor.detach().float(), bits)
            if bits < 8:
                packed[name + SHAPE] = torch.tensor([bits, *codes.shape], dtype=torch.int32)
                codes = _as_bits(codes, bits)
            packed[name] = codes
    return packed


def rounded(weight: Tensor, bits: int) -> Tensor:
    """A matrix or one-dimensional kernel, as it is read back from a file."""
    return _restored(*_packed(weight.detach().float(), bits))


def unpack(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors of a file by name; those that were packed become float32.

    Raises CheckpointError for a scale or a shape that does not fit a weight.
    """
    unpacked = {name: tensor for name, tensor in tensors.items() if not _describes(name)}
    for name in filter(_describes, tensors):
        if not name.endswith(SHAPE):
            continue
        weight = name.removesuffix(SHAPE)
        codes = _from_bits(unpacked.get(weight), tensors[name])
        if codes is None or weight + SCALE not in tensors:
            raise CheckpointError(f"{path}: {name} is not the shape of a packed weight")
        unpacked[weight] = codes
    for name in filter(_describes, tensors):
        if not name.endswith(SCALE):
            continue
        weight = name.removesuffix(SCALE)
        scale, codes = tensors[name], unpacked.get(weight)
        if codes is None or not _fits(scale, codes):
            raise CheckpointError(f"{path}: {name} is not the scale of a packed weight")
        unpacked[weight] = _restored(codes, scale)
    return unpacked


def _describes(name: str) -> bool:
    """Whether a tensor is the scale or the shape of a packed one."""
    return name.endswith((SCALE, SHAPE))


def _packed(tensor: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Whole numbers (int8, of the same shape) and their scales (out, groups)."""
    largest = 2 ** (bits - 1) - 1
    groups = _grouped(tensor)
    scale = (groups.abs().amax(dim=2) / largest).bfloat16()
    steps = scale.float()[:, :, None]
    codes = (groups / torch.where(steps > 0, steps, 1.0)).round().clamp(-largest, largest)
    numbers = codes.flatten(1)[:, : tensor[0].numel()].reshape(tensor.shape)
    return numbers.to(torch.int8), scale


def _restored(codes: Tensor, scale: Tensor) -> Tensor:
    values = (_grouped(codes.float()) * scale.float()[:, :, None]).flatten(1)
    return values[:, : codes[0].numel()].reshape(codes.shape)


def _grouped(tensor: Tensor) -> Tensor:
    """(out, …) to (out, groups, GROUP), padded with zeros."""
    rows = tensor.flatten(1)
    if missing := -rows.shape[1] % GROUP:
        rows = functional.pad(rows, (0, missing))
    return rows.reshape(len(rows), -1, GROUP)


def _as_bits(codes: Tensor, bits: int) -> Tensor:
    numbers = (codes.flatten().to(torch.int16) + 2 ** (bits - 1)).to(torch.uint8).numpy()
    each = np.unpackbits(numbers[:, None], axis=1, count=bits, bitorder="little")
    return torch.from_numpy(np.packbits(each, bitorder="little"))


def _from_bits(packed: Tensor | None, shape: Tensor) -> Tensor | None:
    """Whole numbers (int8) of the shape in `shape`; None if it does not fit `packed`."""
    if packed is None or packed.dtype is not torch.uint8 or packed.ndim != 1:
        return None
    if shape.dtype is not torch.int32 or shape.ndim != 1 or not len(shape):
        return None
    bits, *sizes = shape.tolist()
    if bits not in BITS or len(sizes) not in PACKED_DIMENSIONS or min(sizes) < 1:
        return None
    count = math.prod(sizes)
    if len(packed) != -(-count * bits // 8):
        return None
    each = np.unpackbits(packed.numpy(), count=count * bits, bitorder="little")
    numbers = np.packbits(each.reshape(count, bits), axis=1, bitorder="little")[:, 0]
    codes = numbers.astype(np.int16) - 2 ** (bits - 1)
    return torch.from_numpy(codes.astype(np.int8)).reshape(sizes)


def _fits(scale: Tensor, codes: Tensor) -> bool:
    if codes.dtype is not torch.int8 or codes.ndim not in PACKED_DIMENSIONS or not codes.numel():
        return False
    shape = (len(codes), -(-codes[0].numel() // GROUP))
    return scale.is_floating_point() and scale.shape == shape
