"""Products and convolutions of fixed weights, with bias and ReLU in one call.

The operators are torch's own for compiled graphs. They are not public, so everything here is used
only if `CAN_FUSE` says that this build has them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.layers.packing import CAN_PACK, MIN_ROWS, MKL_IS_FASTER

__all__ = ["CAN_FUSE", "MIN_ROWS", "Convolution", "Product", "multiplies_in_onednn"]


def _can_fuse() -> bool:
    operators = ("_convolution_pointwise", "_reorder_convolution_weight")
    return CAN_PACK and all(hasattr(torch.ops.mkldnn, name) for name in operators)


CAN_FUSE = _can_fuse()


def multiplies_in_onednn(dtype: torch.dtype) -> bool:
    """Whether a `Product` in `dtype` uses oneDNN, which caches kernels by shape."""
    return dtype != torch.float32 or not MKL_IS_FASTER


class Product:
    """Rows (N, K) times a matrix (O, K), plus a bias: (N, O)."""

    def __init__(
        self, matrix: Tensor, bias: Tensor | None, dtype: torch.dtype, few_rows: bool = True
    ) -> None:
        """`few_rows`: whether there may be fewer than `MIN_ROWS`, for which a copy is kept."""
        matrix = matrix.to(dtype).contiguous()
        self.bias = None if bias is None else bias.to(dtype)
        self._packed: Tensor | None = None
        if multiplies_in_onednn(dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(matrix, 1024)
            # a single overload, because choosing among several takes 3 µs per call
            self._multiply = torch.ops.mkldnn._linear_pointwise.default
        if few_rows or self._packed is None:
            self.columns = matrix.t().contiguous()

    def __call__(self, rows: Tensor, relu: bool = False) -> Tensor:
        if self._packed is not None and len(rows) >= MIN_ROWS:
            name = "relu" if relu else "none"
            product: Tensor = self._multiply(rows, self._packed, self.bias, name, [], "")
            return product
        if self.bias is None:
            product = torch.mm(rows, self.columns)
        else:
            product = torch.addmm(self.bias, rows, self.columns)
        return product.relu_() if relu else product


class Convolution:
    """A convolution: (H, W, C) -> (H', W', C'), with zeros beside W and nothing beside H."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        size: tuple[int, int],
        dtype: torch.dtype,
        *,
        strides: tuple[int, int] = (1, 1),
        dilation: int = 1,
    ) -> None:
        """`weight` is (C', C, W, H), `size` is the usual (H, W) of inputs; `dilation` applies to W,
        which is padded by half a kernel."""
        weight = weight.transpose(2, 3).to(dtype).contiguous(memory_format=torch.channels_last)
        padding = [0, weight.shape[3] // 2 * dilation]
        self._where = (padding, list(strides), [1, dilation], 1)  # …, groups
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, *self._where, [1, weight.shape[1], *size]
        )
        self._bias = None if bias is None else bias.to(dtype)

    def __call__(self, frames: Tensor, relu: bool = False, added: Tensor | None = None) -> Tensor:
        """With `added` (H', W', C') the ReLU of the convolution plus `added`."""
        inputs = frames[None].permute(0, 3, 1, 2)
        if added is None:
            name = "relu" if relu else "none"
            outputs: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
                inputs, self._weight, self._bias, *self._where, name, [], ""
            )
        else:
            outputs = torch.ops.mkldnn._convolution_pointwise.binary(
                inputs,
                added[None].permute(0, 3, 1, 2),
                self._weight,
                self._bias,
                *self._where,
                "add",
                1.0,
                "relu",
                [],
                "",
            )
        return outputs.permute(0, 2, 3, 1)[0]
