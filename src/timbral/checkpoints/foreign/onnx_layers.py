"""Read the weights of layers from an ONNX file; its graph is never run.

Exporters rename weights and fold batch norms into the preceding convolutions, so names are of
little use; the order in which layers are computed remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from timbral.errors import CheckpointError, MissingExtraError

__all__ = ["OnnxLayer", "layers_of", "read_onnx_layers"]

WEIGHTED = ("Conv", "BatchNormalization", "Gemm", "MatMul")
PREFIX = "onnx"
DATA_TYPES = {1: np.float32, 10: np.float16, 11: np.float64}
"""ONNX's codes of the data types of weights"""


@dataclass(frozen=True)
class OnnxLayer:
    """A node of the graph with weights, in the node's order."""

    operation: str
    tensors: list[Tensor]


def read_onnx_layers(content: bytes) -> dict[str, Tensor]:
    """The weights of a graph's layers, in the order of computing.

    They are named ``onnx.NUMBER.OPERATION.INPUT``, so that they are tensors by name as in any other
    file; `layers_of` splits them into layers again. Raises MissingExtraError without the package
    onnx, CheckpointError for an unreadable model, for one that timbral exported, and for weights in
    separate files.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("reading the weights of an ONNX file", "export") from None
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises several kinds
        raise CheckpointError(f"it is not a readable ONNX model ({error})") from None
    if any(entry.key == "timbral" for entry in model.metadata_props):
        raise CheckpointError(
            "timbral exported it, without the names of its weights, so it can run but not be "
            "trained, averaged or converted; use the encoder that it was exported from"
        )
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    weights |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and len(node.output) == 1
        for attribute in node.attribute
        if attribute.name == "value"
    }
    same = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and len(node.input) == 1 and len(node.output) == 1
    }
    tensors: dict[str, Tensor] = {}
    layers = (node for node in graph.node if node.op_type in WEIGHTED)
    for number, node in enumerate(layers):
        names = [same.get(name, name) for name in node.input]
        for position, name in enumerate(name for name in names if name in weights):
            tensors[f"{PREFIX}.{number}.{node.op_type}.{position}"] = _tensor(weights[name])
    if not tensors:
        raise CheckpointError("it contains no layers with weights")
    return tensors


def _tensor(weight: Any) -> Tensor:
    """The values of an initializer; empty for a type that weights do not have."""
    if weight.external_data:
        raise CheckpointError(
            "its weights are in a separate file; save the model with its weights inside"
        )
    if weight.data_type not in DATA_TYPES:
        return torch.zeros(0)
    shape = tuple(weight.dims)
    if weight.raw_data:
        numbers = np.frombuffer(weight.raw_data, DATA_TYPES[weight.data_type])
    else:
        numbers = np.array(weight.double_data or weight.float_data, np.float32)
    if any(size < 0 for size in shape) or numbers.size != np.prod(shape, dtype=object):
        raise CheckpointError(
            f"its weight {weight.name!r} has another number of values than it states"
        )
    return torch.from_numpy(numbers.reshape(shape).astype(np.float32))


def layers_of(tensors: dict[str, Tensor]) -> list[OnnxLayer]:
    """The layers that `read_onnx_layers` named, in their order."""
    layers: dict[int, OnnxLayer] = {}
    for name in sorted(tensors, key=_place):
        _, number, operation, _ = name.split(".")
        layer = layers.setdefault(int(number), OnnxLayer(operation, []))
        layer.tensors.append(tensors[name])
    return list(layers.values())


def _place(name: str) -> tuple[int, int]:
    _, number, _, position = name.split(".")
    return int(number), int(position)
