"""CAM++ and ERes2NetV2 of 3D-Speaker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    only_tensors,
    rename,
)
from timbral.checkpoints.foreign.speakerlab_eres2net import MARKS as ERES2NET_V2_MARKS
from timbral.checkpoints.foreign.speakerlab_eres2net import convert_eres2net_v2
from timbral.checkpoints.foreign.wespeaker_classifier import has_classifier
from timbral.encoders.campplus import CampplusConfig
from timbral.errors import CheckpointError

__all__ = ["MARKS", "SPEAKER_3D", "campplus_tensors"]

MARKS = ("xvector.tdnn.linear.weight", "head.conv1.weight")

NAMES: tuple[tuple[str, str], ...] = (
    (r"^head\.layer1\.", "front.blocks."),
    (r"^head\.layer2\.0\.", "front.blocks.2."),
    (r"^head\.layer2\.1\.", "front.blocks.3."),
    (r"^head\.", "front."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.shortcut\.0\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut_norm."),
    (r"^xvector\.tdnn\.linear", "tdnn"),
    (r"^xvector\.tdnn\.nonlinear\.batchnorm", "tdnn_norm"),
    (r"^xvector\.out_nonlinear\.batchnorm", "norm"),
    (r"^xvector\.dense\.linear", "linear"),
    (r"^xvector\.dense\.nonlinear\.batchnorm", "linear_norm"),
    (r"^xvector\.block#(\d)\.tdnnd#(\d+)\.", r"blocks.\1.layers.\2."),
    (r"^xvector\.transit#(\d)\.linear", r"blocks.\1.transition"),
    (r"^xvector\.transit#(\d)\.nonlinear\.batchnorm", r"blocks.\1.norm"),
    (r"\.cam_layer\.linear_local", ".masking.local"),
    (r"\.cam_layer\.linear1", ".masking.squeeze"),
    (r"\.cam_layer\.linear2", ".masking.gate"),
    (r"\.linear1\.", ".bottleneck."),
    (r"\.nonlinear(\d)\.batchnorm", r".norm\1"),
)
"""renamings from 3D-Speaker's tensors to timbral's, after its numbers are shifted to begin at 0"""


def campplus_tensors(state: Mapping[str, Tensor]) -> tuple[int, dict[str, Tensor]]:
    """The embedding dimension of 3D-Speaker's ``CAMPPlus``, and its tensors as ``encoder.*``.

    Raises CheckpointError for any other network.
    """
    if MARKS[0] not in state:
        raise CheckpointError("these are not weights of CAM++ as 3D-Speaker builds it")
    tensors = {}
    for key, tensor in state.items():
        name = re.sub(r"(block|tdnnd|transit)(\d+)\.", lambda m: f"{m[1]}#{int(m[2]) - 1}.", key)
        name = rename(name, NAMES)
        tensors[f"encoder.{name}"] = tensor[:, :, 0] if name == "linear.weight" else tensor
    size = tensors.get("encoder.linear.weight")
    return CampplusConfig.embedding_dim if size is None else len(size), tensors


def convert(content: Content) -> ConvertedWeights:
    """Convert 3D-Speaker's CAM++ by renaming its layers, or its ERes2NetV2."""
    if MARKS[0] not in content.values and ERES2NET_V2_MARKS[-1] in content.values:
        return convert_eres2net_v2(content)
    embedding, tensors = campplus_tensors(only_tensors(content.values))
    return ConvertedWeights(CampplusConfig(embedding_dim=embedding), tensors)


SPEAKER_3D = WeightsFormat(
    "CAM++ and ERes2NetV2 of 3D-Speaker, campplus_*.pt / .bin, pretrained_eres2netv2*.ckpt",
    (MARKS, ERES2NET_V2_MARKS),
    convert,
    fits=lambda content: not has_classifier(content),  # WeSpeaker's CAM++ has the same tensors
)
