"""ERes2NetV2 of 3D-Speaker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    check_marks,
    count_layers,
    only_tensors,
)
from timbral.checkpoints.foreign.residual_networks import check_pooling, layer_name
from timbral.encoders.eres2net_v2 import Eres2netV2Config
from timbral.errors import CheckpointError

__all__ = ["MARKS", "convert_eres2net_v2"]

MARKS = (
    "seg_1.weight",
    "conv1.weight",
    "layer1.0.convs.0.weight",
    "layer1.0.conv3.weight",
    "layer3_ds.weight",
    "fuse34.local_att.0.weight",
)
NETWORK = "3D-Speaker's ERes2NetV2"

NAMES: tuple[tuple[str, str], ...] = (
    (r"^layer3_ds\.", "downsample."),
    (r"^fuse34\.", "fusion."),
    (r"\.bns\.", ".norms."),
    (r"\.fuse_models\.", ".fusions."),
    (r"\.local_att\.0\.", ".squeeze."),
    (r"\.local_att\.1\.", ".squeeze_norm."),
    (r"\.local_att\.3\.", ".gate."),
    (r"\.local_att\.4\.", ".gate_norm."),
)
"""names of the layers that ResNets lack"""


def convert_eres2net_v2(content: Content) -> ConvertedWeights:
    """Convert 3D-Speaker's ERes2NetV2 by renaming its layers; sizes are read from the tensors."""
    state = only_tensors(content.values)
    config = _config(state)
    tensors = {}
    for key, tensor in state.items():
        name = layer_name(key, NAMES)
        is_product = re.search(r"\.(squeeze|gate)\.weight$", name) is not None
        tensors[f"encoder.{name}"] = tensor[:, :, 0, 0] if is_product else tensor
    return ConvertedWeights(config, tensors)


def _config(state: Mapping[str, Tensor]) -> Eres2netV2Config:
    check_marks(state, MARKS, NETWORK)
    channels = len(state["conv1.weight"])
    if not channels:
        raise CheckpointError(f"these are not weights of {NETWORK}: they are empty")
    widths = [len(state[f"layer{stage}.0.convs.0.weight"]) for stage in (1, 2, 3, 4)]
    config = Eres2netV2Config(
        layers=tuple(
            count_layers(state, rf"layer{stage}\.(\d+)\.conv1\.weight$") for stage in (1, 2, 3, 4)
        ),
        channels=channels,
        base_width=-(-widths[-1] * 64 // (8 * channels)),  # the smallest that gives this width
        scale=count_layers(state, r"layer1\.0\.convs\.(\d+)\.weight$"),
        expansion=len(state["layer1.0.conv3.weight"]) // channels,
        embedding_dim=len(state["seg_1.weight"]),
        second_linear="seg_2.weight" in state,
    )
    check_pooling(state, 8 * channels * config.expansion, "ERes2NetV2")
    return config
