"""Store the weights of an exported graph in 16 bits: half the file, still computed in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from timbral.exporting.stored_constants import Stored, Use, replace_constants

if TYPE_CHECKING:
    import onnx

__all__ = ["as_half", "halve_weights"]


def halve_weights(proto: onnx.ModelProto) -> None:
    """Store large constants in float16, each followed by a cast to float32, in place."""
    replace_constants(proto, as_half)


def as_half(name: str, values: np.ndarray, uses: Sequence[Use] = ()) -> Stored | None:
    """A constant in float16 with a cast; None if float16 cannot represent it (above 65,504)."""
    from onnx import TensorProto, helper, numpy_helper

    if not np.abs(values).max() <= np.finfo(np.float16).max:
        return None
    half = numpy_helper.from_array(values.astype(np.float16), f"{name}_float16")
    return Stored([half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)])
