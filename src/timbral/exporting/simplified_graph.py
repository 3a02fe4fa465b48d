"""Simplify an exported graph: compute once what does not depend on the recording."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.inference.onnx_runtime import open_session

if TYPE_CHECKING:
    import onnx

__all__ = ["simplified"]


def simplified(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The same graph with constants folded and equal values computed once, by onnxruntime.

    A traced CAM++ has 10,600 nodes, most of them sizes of its masks. Afterwards it has 4,400, and
    onnxruntime opens it in a third of the time. Only the basic optimizations are used, which keep
    to the operators of ONNX, so that the file works on any processor and in any other engine.

    Raises CheckpointError if onnxruntime cannot load the graph of the encoder of this name.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        open_session(proto.SerializeToString(), name, simplified_to=path)
        result = onnx.load(path)
    used = {node.domain for node in result.graph.node}
    domains = [each for each in result.opset_import if each.domain in used]
    del result.opset_import[:]
    result.opset_import.extend(domains)
    return result
