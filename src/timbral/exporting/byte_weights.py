"""Store the weights of an exported graph in 8 bits: a quarter of the file, computed in float32.

A weight (out, …) is stored row by row, where a row has the weights of one output, in groups of up
to `GROUP` numbers. A group is stored as whole numbers Q, |Q| ≤ 127, and one scale s in float16: W ≈
s · Q, as in `timbral.checkpoints.packed_weights` for checkpoints. The graph casts, multiplies and
reshapes them, which every runtime does once, when it opens the file. (With DequantizeLinear,
onnxruntime would do it again for each utterance.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from timbral.exporting.half_weights import as_half
from timbral.exporting.stored_constants import Stored, Use, replace_constants

if TYPE_CHECKING:
    import onnx

__all__ = ["quantize_weights"]

LARGEST = 127
GROUP, LEAST_GROUP = 32, 8
SMALL = 65_536
"""smaller two-dimensional kernels, and smaller input weights of recurrent layers, are stored in
float16. They are few and matter more: nine tenths of what a d-vector's vectors would lose in 8 bits
comes from the weights that multiply its mels, which are powers"""
COLUMNS = {"MatMul": 1, "Gemm": 1}
"""operators with a weight of shape (in, out), and which of their inputs it is"""
ROWS = {"Conv": 1, "ConvTranspose": 1, "Flatten": 0, "Reshape": 0, "Transpose": 0}
"""operators with a weight of shape (out, …)"""
RECURRENT = ("LSTM", "GRU", "RNN")
"""operators with weights of shape (directions, out, in), as inputs 1 and 2"""


def quantize_weights(proto: onnx.ModelProto) -> None:
    """Store the weights of products in 8 bits and other large constants in float16, in place."""
    replace_constants(proto, _as_bytes)


def _as_bytes(name: str, values: np.ndarray, uses: Sequence[Use]) -> Stored | None:
    layouts = {_row_axes(values, use) for use in uses}
    is_sensitive = values.ndim == 4 or any(_takes_features(use) for use in uses)
    if (
        (is_sensitive and values.size < SMALL)
        or len(layouts) != 1
        or layouts == {None}
        or not np.isfinite(values).all()
    ):
        return as_half(name, values)
    (axes,) = layouts
    assert axes is not None
    rows = values if axes else values.T
    rows = rows.reshape(math.prod(rows.shape[: axes or 1]), -1)
    return _quantized(name, rows, values.shape, transposed=not axes)


def _row_axes(values: np.ndarray, use: Use) -> int | None:
    """How many leading axes of a weight are over outputs; 0: the last one is; None: no weight."""
    kind, index = use.node.op_type, use.index
    if COLUMNS.get(kind) == index and values.ndim == 2:
        return int(any(each.name == "transB" and each.i for each in use.node.attribute))
    if ROWS.get(kind) == index and values.ndim > 1:
        return 1
    if kind in RECURRENT and index in (1, 2) and values.ndim == 3:
        return 2
    return None


def _takes_features(use: Use) -> bool:
    return use.node.op_type in RECURRENT and use.index == 1


def _quantized(name: str, rows: np.ndarray, shape: tuple[int, ...], transposed: bool) -> Stored:
    """Rows (out, in) in 8 bits, with nodes that convert them to float32 of a shape.

    `transposed`: the constant is (in, out).
    """
    from onnx import TensorProto, helper, numpy_helper

    groups = rows.reshape(len(rows), -1, _group(rows.shape[1]))
    scale = _scale(np.abs(groups).max(axis=2, keepdims=True) / LARGEST)
    steps = scale.astype(np.float32)
    whole = np.rint(groups / np.where(steps > 0, steps, 1.0)).clip(-LARGEST, LARGEST)
    sizes = rows.shape if transposed else shape
    tensors = {
        "int8": whole.astype(np.int8),
        "scale": scale,
        "shape": np.array(sizes, np.int64),
    }
    named = {kind: f"{name}_{kind}" for kind in ("float", "step", "grouped", "rows", *tensors)}
    nodes = [
        helper.make_node("Cast", [named["int8"]], [named["float"]], to=TensorProto.FLOAT),
        helper.make_node("Cast", [named["scale"]], [named["step"]], to=TensorProto.FLOAT),
        helper.make_node("Mul", [named["float"], named["step"]], [named["grouped"]]),
    ]
    target = named["rows"] if transposed else name
    nodes.append(helper.make_node("Reshape", [named["grouped"], named["shape"]], [target]))
    if transposed:
        nodes.append(helper.make_node("Transpose", [target], [name], perm=[1, 0]))
    stored = [numpy_helper.from_array(each, named[kind]) for kind, each in tensors.items()]
    return Stored(stored, nodes)


def _group(length: int) -> int:
    """How many numbers of a row share one scale: a divisor of the row's length."""
    divisors = (size for size in range(GROUP, LEAST_GROUP - 1, -1) if length % size == 0)
    return next(divisors, length)


def _scale(scale: np.ndarray) -> np.ndarray:
    """Scales in float16, or unchanged if one is too small or too large for its full precision."""
    limits = np.finfo(np.float16)
    fits = (scale == 0) | ((scale >= limits.tiny) & (scale <= limits.max))
    return scale.astype(np.float16 if fits.all() else np.float32)
