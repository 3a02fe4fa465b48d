"""The weights of an exported graph in 16 bits: half the file, computed in float32 all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

__all__ = ["halve_weights"]

LEAST_NUMBERS = 1_024
"""of a tensor; biases, norms and sizes stay as they are"""
FRONTEND = "frontend"
"""in the names of what computes filter banks, whose matrices stay exact"""


def halve_weights(proto: onnx.ModelProto) -> None:
    """Store large constants in float16, each behind a cast to float32, in place.

    A runtime casts once, when it opens the file. A tensor that float16 cannot hold (above 65,504)
    stays as it is.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    exact = {name for node in graph.node if FRONTEND in node.name for name in node.input}
    casts: list[onnx.NodeProto] = []
    kept: list[onnx.NodeProto] = []
    halves: list[onnx.TensorProto] = []

    def halved(name: str, tensor: onnx.TensorProto) -> bool:
        half = None if name in exact or FRONTEND in name else _as_half(tensor)
        if half is None:
            return False
        halves.append(numpy_helper.from_array(half, f"{name}_float16"))
        casts.append(helper.make_node("Cast", [f"{name}_float16"], [name], to=TensorProto.FLOAT))
        return True

    tensors = [each for each in graph.initializer if not halved(each.name, each)]
    for node in graph.node:
        values = [each.t for each in _values(node)]
        if not (values and halved(node.output[0], values[0])):
            kept.append(node)
    nodes = [*casts, *kept]
    for repeated, content in ((graph.initializer, [*tensors, *halves]), (graph.node, nodes)):
        copies = [type(each).FromString(each.SerializeToString()) for each in content]
        del repeated[:]
        repeated.extend(copies)


def _values(node: onnx.NodeProto) -> Iterator[onnx.AttributeProto]:
    if node.op_type == "Constant":
        yield from (each for each in node.attribute if each.name == "value")


def _as_half(tensor: onnx.TensorProto) -> np.ndarray | None:
    """A large tensor of finite float32 in float16; None for others."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST_NUMBERS:
        return None
    values = numpy_helper.to_array(tensor)
    if not np.abs(values).max() <= np.finfo(np.float16).max:
        return None
    return values.astype(np.float16)
