"""Make the file of an exported graph smaller: equal constants only once, and short names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["compact"]


def compact(proto: onnx.ModelProto) -> None:
    """Store each constant once, and replace the names of values and nodes by numbers, in place.

    Names take 0.8 MB in the graph of CAM++. Names of inputs and outputs stay. A graph that contains
    other graphs, which refer to its values by name, is not changed.
    """
    graph = proto.graph
    if any(each.HasField("g") or each.graphs for node in graph.node for each in node.attribute):
        return
    given = [each.name for each in (*graph.input, *graph.output)]
    names: dict[str, str] = {name: name for name in (*given, "")}
    constants: dict[bytes, str] = {}
    tensors: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def short(name: str) -> str:
        number = f"v{len(names)}"
        return names.setdefault(name, number)

    for tensor in graph.initializer:
        copy = type(tensor).FromString(tensor.SerializeToString())
        copy.name = ""
        content = copy.SerializeToString(deterministic=True)
        if tensor.name not in names and content in constants:
            names[tensor.name] = constants[content]
        else:
            constants[content] = copy.name = short(tensor.name)
            tensors.append(copy)
    for node in graph.node:
        renamed = type(node).FromString(node.SerializeToString())
        renamed.name = renamed.doc_string = ""
        renamed.input[:] = [short(name) for name in node.input]
        renamed.output[:] = [short(name) for name in node.output]
        nodes.append(renamed)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
