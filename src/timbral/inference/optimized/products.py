"""Products and convolutions of fixed weights, with bias and ReLU in one call.

The operators are torch's own for compiled graphs. They are not public, so everything here is used
only if `CAN_FUSE` says that this build has them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.encoders.layers.packing import CAN_PACK, MIN_ROWS, MKL_IS_FASTER

__all__ = ["CAN_FUSE", "MIN_ROWS", "FrontConvolution", "Product", "multiplies_in_onednn"]


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
        if few_rows or self._packed is None:
            self.columns = matrix.t().contiguous()

    def __call__(self, rows: Tensor, relu: bool = False, out: Tensor | None = None) -> Tensor:
        """The product, which is written to `out` (N, O) if that is given."""
        if self._packed is not None and len(rows) >= MIN_ROWS:
            name = "relu" if relu else "none"
            product: Tensor = torch.ops.mkldnn._linear_pointwise(
                rows, self._packed, self.bias, name, [], ""
            )
            return product if out is None else out.copy_(product)
        if self.bias is None:
            product = torch.mm(rows, self.columns, out=out)
        else:
            product = torch.addmm(self.bias, rows, self.columns, out=out)
        return product.relu_() if relu else product


class FrontConvolution:
    """A convolution over (time, mel) and a ReLU: (F, M, C) -> (F', M', C').

    Mels are padded with zeros by half a kernel, frames are not padded.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        strides: tuple[int, int],
        frames: int,
        mels: int,
        dtype: torch.dtype,
    ) -> None:
        """`weight` is (C', C, mel, time), `strides` are those of time and mel; `frames` and `mels`
        are the usual input sizes."""
        weight = weight.transpose(2, 3).to(dtype).contiguous(memory_format=torch.channels_last)
        padding = [0, weight.shape[3] // 2]
        self._where = (padding, list(strides), [1, 1], 1)  # …, dilation, groups
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, *self._where, [1, weight.shape[1], frames, mels]
        )
        self._bias = bias.to(dtype)

    def __call__(self, frames: Tensor, added: Tensor | None = None) -> Tensor:
        """`added` (F, M', C') is added before the ReLU."""
        inputs = frames[None].permute(0, 3, 1, 2)
        if added is None:
            outputs: Tensor = torch.ops.mkldnn._convolution_pointwise(
                inputs, self._weight, self._bias, *self._where, "relu", [], ""
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
