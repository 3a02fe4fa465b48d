"""ERes2NetV2 of 3D-Speaker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, only_tensors, rename
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
BINS_LEFT = 10
"""of 80 filter banks, after three strides of two"""

NAMES: tuple[tuple[str, str], ...] = (
    (r"^conv1\.", "conv."),
    (r"^bn1\.", "norm."),
    (r"^layer3_ds\.", "downsample."),
    (r"^fuse34\.", "fusion."),
    (r"\.bns\.", ".norms."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.fuse_models\.", ".fusions."),
    (r"\.local_att\.0\.", ".squeeze."),
    (r"\.local_att\.1\.", ".squeeze_norm."),
    (r"\.local_att\.3\.", ".gate."),
    (r"\.local_att\.4\.", ".gate_norm."),
    (r"\.shortcut\.0\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut_norm."),
    (r"^seg_1\.", "linear."),
    (r"^seg_bn_1\.", "second.1."),
    (r"^seg_2\.", "second.2."),
)


def convert_eres2net_v2(content: Content) -> ConvertedWeights:
    """Convert 3D-Speaker's ERes2NetV2 by renaming its layers; sizes are read from the tensors."""
    state = only_tensors(content.values)
    config = _config(state)
    tensors = {}
    for key, tensor in state.items():
        stage = re.sub(r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}.", key)
        name = rename(stage, NAMES)
        is_product = re.search(r"\.(squeeze|gate)\.weight$", name) is not None
        tensors[f"encoder.{name}"] = tensor[:, :, 0, 0] if is_product else tensor
    return ConvertedWeights(config, tensors)


def _config(state: Mapping[str, Tensor]) -> Eres2netV2Config:
    missing = next((mark for mark in MARKS if mark not in state), None)
    if missing is not None:
        raise CheckpointError(
            f"these are not weights of 3D-Speaker's ERes2NetV2: {missing} is missing"
        )
    channels = len(state["conv1.weight"])
    if not channels:
        raise CheckpointError("these are not weights of 3D-Speaker's ERes2NetV2: they are empty")
    widths = [len(state[f"layer{stage}.0.convs.0.weight"]) for stage in (1, 2, 3, 4)]
    config = Eres2netV2Config(
        layers=tuple(_count(state, rf"layer{stage}\.\d+\.conv1\.weight") for stage in (1, 2, 3, 4)),
        channels=channels,
        base_width=-(-widths[-1] * 64 // (8 * channels)),  # the smallest that gives this width
        scale=_count(state, r"layer1\.0\.convs\.\d+\.weight"),
        expansion=len(state["layer1.0.conv3.weight"]) // channels,
        embedding_dim=len(state["seg_1.weight"]),
        second_linear="seg_2.weight" in state,
    )
    statistics = BINS_LEFT * 8 * channels * config.expansion
    pooled = state["seg_1.weight"].shape[1]
    if pooled != 2 * statistics or any(name.startswith("pool.") for name in state):
        raise CheckpointError(
            "only ERes2NetV2 with temporal statistics pooling (TSTP) on 80 filter banks is "
            f"supported. The linear layer of this one takes {pooled:,} numbers instead of "
            f"{2 * statistics:,}, or its pooling has weights"
        )
    return config


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(bool(re.fullmatch(pattern, name)) for name in state)
