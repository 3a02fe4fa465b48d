"""Packed weights: inference on a CPU without reordering a matrix for every product.

oneDNN multiplies by matrices in a layout of its own, into which torch reorders a weight at every
call. A copy that is reordered only once makes a product in float32 a sixth to a fifth faster on an
AMD EPYC with AVX-512 (one thread). Where MKL is faster (`MKL_IS_FASTER`), float32 is not packed.

Nothing is packed automatically: `pack_weights` is called once, when an Embedder is created. A
packed copy is used only for the same parameter in the same version. It is dropped by `train`,
`eval`, `to` and similar methods, by `load_state_dict`, and when pickling or deep-copying. One
change cannot be detected: writing to `weight.data`. Pack again after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PackableProduct", "pack_weights", "unpack_weights"]

MIN_ROWS = 128
"""with fewer rows oneDNN uses another layout, and would reorder the packed copy at every call"""

PACKED_DTYPES = (torch.float32, torch.bfloat16)


class PackedMatrix(NamedTuple):
    """A matrix in oneDNN's layout, and the parameter, with its version, that it was packed from."""

    ordered: Tensor
    dtype: torch.dtype
    parameter: Tensor
    version: int


class PackableProduct(nn.Module):
    """A layer that multiplies rows by one matrix: a mixin for `nn.Linear` and similar layers.

    `matrix` (outputs, inputs) is the weight, or a view or copy of it.
    """

    weight: Tensor
    bias: Any
    """Tensor or None, which torch's layers declare differently"""
    _packed: PackedMatrix | None = None

    def matrix(self) -> Tensor:
        return self.weight

    def multiply(self, rows: Tensor) -> Tensor:
        """Rows (..., inputs) times the matrix, plus the bias: (..., outputs)."""
        packed = self._packed_for(rows)
        if packed is None:
            return functional.linear(rows, self.matrix(), self.bias)
        bias = None if self.bias is None else self.bias.to(packed.dtype)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows.to(packed.dtype), packed.ordered, bias, "none", [], ""
        )
        return product

    def pack(self, dtype: torch.dtype) -> None:
        """Store a packed copy of the matrix in `dtype`, if this torch and device can use one."""
        weight = self.weight
        # an inference tensor has no version, so changes could not be detected
        packable = weight.device.type == "cpu" and weight.dtype == torch.float32
        gains = dtype == torch.bfloat16 or (dtype == torch.float32 and not MKL_IS_FASTER)
        if CAN_PACK and packable and gains and not weight.is_inference():
            matrix = self.matrix().detach().to(dtype).contiguous()
            ordered = torch.ops.mkldnn._reorder_linear_weight(matrix, 1024)
            self._packed = PackedMatrix(ordered, dtype, weight, weight._version)

    def unpack(self) -> None:
        """Drop the packed copy."""
        self._packed = None

    def _packed_for(self, rows: Tensor) -> PackedMatrix | None:
        """The packed copy, if this product can use it; its operator has no gradient."""
        if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
            return None
        packed = self._packed
        if packed is None or packed.parameter is not self.weight:
            return None
        if packed.version != packed.parameter._version or rows.device.type != "cpu":
            return None
        autocast = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if autocast else rows.dtype
        fits = dtype == packed.dtype and rows.dtype in PACKED_DTYPES and rows.is_contiguous()
        enough = rows.numel() >= MIN_ROWS * rows.shape[-1]
        return packed if fits and enough else None

    def train(self, mode: bool = True) -> Self:
        self.unpack()
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.unpack()
        applied: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return applied

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:  # oneDNN's tensors cannot be pickled or copied
        return {key: value for key, value in vars(self).items() if key != "_packed"}


def pack_weights(network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Pack the weights of a network's layers for inference in `dtype` (float32 or bfloat16).

    Does nothing for weights that are not float32 on a CPU, or if torch lacks the operator.
    """
    for layer in _packable_layers(network):
        layer.pack(dtype)


def unpack_weights(network: nn.Module) -> None:
    """Drop all packed copies, before training."""
    for layer in _packable_layers(network):
        layer.unpack()


def _packable_layers(network: nn.Module) -> Iterator[PackableProduct]:
    return (layer for layer in network.modules() if isinstance(layer, PackableProduct))


def _can_pack() -> bool:
    """Whether this build of torch has oneDNN's operators, which are not public."""
    operators = ("_linear_pointwise", "_reorder_linear_weight")
    return bool(torch.backends.mkldnn.enabled) and all(
        hasattr(torch.ops.mkldnn, name) for name in operators
    )


def _mkl_is_faster() -> bool:
    """Whether MKL, torch's default in float32, is faster than oneDNN with packed weights.

    It is, by a tenth to a half, on Intel and on AMD without AVX-512 (rows of 128 to 3,072 numbers,
    an EPYC of the third generation), but slower on an AMD EPYC with AVX-512.
    """
    if not torch._C.has_mkl:
        return False
    return torch.backends.cpu.get_cpu_capability() != "AVX512" or _is_intel()


def _is_intel() -> bool:
    path = Path("/proc/cpuinfo")
    return path.exists() and "GenuineIntel" in path.read_text("utf-8", errors="replace")


CAN_PACK = _can_pack()
MKL_IS_FASTER = _mkl_is_faster()
