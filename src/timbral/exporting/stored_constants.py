"""Store constants of an exported graph in another form, which nodes turn back into float32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import onnx

__all__ = [
    "EXACT",
    "LEAST_NUMBERS",
    "Store",
    "Stored",
    "Use",
    "constant_values",
    "replace_constants",
]

LEAST_NUMBERS = 1_024
"""smallest constant that is stored in another form; biases, norms and sizes stay unchanged"""
EXACT = ("frontend", "correction")
"""words in names of nodes that compute or correct filter banks; their matrices stay unchanged"""


@dataclass(frozen=True)
class Use:
    """A node that uses a constant, as its input number `index`."""

    node: onnx.NodeProto
    index: int


@dataclass(frozen=True)
class Stored:
    """What replaces a constant: tensors, and nodes that compute the constant from them."""

    tensors: Sequence[onnx.TensorProto]
    nodes: Sequence[onnx.NodeProto]


Store: TypeAlias = Callable[[str, np.ndarray, Sequence[Use]], Stored | None]
"""gives a constant's stored form, from its name, numbers and uses; None: it stays unchanged"""


def replace_constants(proto: onnx.ModelProto, store: Store) -> None:
    """Store the large float32 constants in another form, in place.

    A runtime turns them back once, when it opens the file, because the nodes do not depend on the
    inputs of the graph.
    """
    from onnx import TensorProto, numpy_helper

    graph = proto.graph
    uses = _uses(graph)
    kept: list[onnx.NodeProto] = []
    added: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []

    def replaced(name: str, tensor: onnx.TensorProto) -> bool:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST_NUMBERS:
            return False
        if any(word in f"{name} {use.node.name}" for use in uses[name] for word in EXACT):
            return False
        stored = store(name, numpy_helper.to_array(tensor), uses[name])
        if stored is None:
            return False
        tensors.extend(stored.tensors)
        added.extend(stored.nodes)
        return True

    unchanged = [each for each in graph.initializer if not replaced(each.name, each)]
    for node in graph.node:
        values = [each.t for each in _values(node)]
        if not (values and replaced(node.output[0], values[0])):
            kept.append(node)
    for repeated, content in (
        (graph.initializer, [*unchanged, *tensors]),
        (graph.node, [*added, *kept]),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in content]
        del repeated[:]
        repeated.extend(copies)


def constant_values(graph: onnx.GraphProto) -> Callable[[str], np.ndarray | None]:
    """A function from a value's name to its numbers.

    It returns None for a value that is neither constant nor a transposed or flattened constant.
    """
    from onnx import numpy_helper

    tensors = {each.name: each for each in graph.initializer}
    node_of = {name: node for node in graph.node for name in node.output}

    def values(name: str) -> np.ndarray | None:
        if name in tensors:
            return numpy_helper.to_array(tensors[name])
        node = node_of.get(name)
        if node is None:
            return None
        for each in _values(node):
            return numpy_helper.to_array(each.t)
        source = values(node.input[0]) if node.op_type in ("Flatten", "Transpose") else None
        return None if source is None else _reshaped(node, source)

    return values


def _reshaped(node: onnx.NodeProto, given: np.ndarray) -> np.ndarray:
    """The output of Flatten or Transpose for a constant."""
    settings = {each.name: each for each in node.attribute}
    if node.op_type == "Transpose":
        return given.transpose(tuple(settings["perm"].ints) if "perm" in settings else None)
    axis = settings["axis"].i if "axis" in settings else 1
    return given.reshape(int(np.prod(given.shape[:axis])), -1)


def _uses(graph: onnx.GraphProto) -> Mapping[str, list[Use]]:
    uses: dict[str, list[Use]] = defaultdict(list)
    for node in graph.node:
        for index, name in enumerate(node.input):
            uses[name].append(Use(node, index))
    return uses


def _values(node: onnx.NodeProto) -> Iterator[onnx.AttributeProto]:
    if node.op_type == "Constant":
        yield from (each for each in node.attribute if each.name == "value")
