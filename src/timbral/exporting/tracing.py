"""Convert a torch module to a graph of ONNX."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from timbral.errors import CheckpointError, first_line
from timbral.exporting.simplified_graph import simplified

if TYPE_CHECKING:
    import onnx

__all__ = ["trace"]

OPSET = 17


def trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic_axes: Mapping[str, Mapping[int, str]],
    name: str,
) -> onnx.ModelProto:
    """The graph of a module in evaluation mode, traced on these inputs and simplified.

    Uses torch's older exporter, because the newer one takes 100 s for CAM++. The older one turns
    sizes that depend on the input into constants where code computes with Python numbers; the many
    lengths of the parity check would reveal that. `name` is the name of the encoder, for messages.

    Raises CheckpointError for what ONNX cannot express.
    """
    import onnx

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # it warns that there is a newer exporter, and about constants
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={key: dict(axes) for key, axes in dynamic_axes.items()},
                opset_version=OPSET,
            )
    except Exception as error:  # the exporter raises many
        reason = first_line(error)[:300]
        raise CheckpointError(
            f"{name}: cannot be written as ONNX ({reason}); your own network must use operators "
            "that ONNX has"
        ) from error
    return simplified(onnx.load_from_string(buffer.getvalue()), name)
