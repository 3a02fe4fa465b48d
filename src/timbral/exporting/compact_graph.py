"""An exported graph in fewer bytes: equal constants once, and short names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["compact"]


def compact(proto: onnx.ModelProto) -> None:
    """Keep each constant once, as an initializer, and number values and nodes, in place.

    Of the graph of CAM++, 10,600 nodes, names are 1 MB and two of five nodes the same few sizes.
    Names of inputs and outputs stay. A graph with graphs within it, which name its values, stays
    as it is.
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

    def keep(name: str, tensor: onnx.TensorProto) -> None:
        copy = type(tensor).FromString(tensor.SerializeToString())
        copy.name = ""
        content = copy.SerializeToString(deterministic=True)
        if name not in names and content in constants:
            names[name] = constants[content]
            return
        constants[content] = copy.name = short(name)
        tensors.append(copy)

    for tensor in graph.initializer:
        keep(tensor.name, tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            keep(node.output[0], node.attribute[0].t)
            continue
        copy = type(node).FromString(node.SerializeToString())
        copy.name = copy.doc_string = ""
        copy.input[:] = [short(name) for name in node.input]
        copy.output[:] = [short(name) for name in node.output]
        nodes.append(copy)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)
