"""ResNets of WeSpeaker, also in pyannote's wrapper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    check_marks,
    count_layers,
    only_tensors,
)
from timbral.checkpoints.foreign.residual_networks import check_pooling, layer_name
from timbral.checkpoints.foreign.wespeaker_classifier import without_classifier
from timbral.encoders.resnet import ResnetConfig

__all__ = ["PYANNOTE", "WESPEAKER"]

MARKS = ("seg_1.weight", "conv1.weight", "layer1.0.conv2.weight", "layer4.0.conv2.weight")
PYANNOTE_PREFIX = "resnet."
"""prefix of the network in pyannote's wrapper"""


def convert(content: Content) -> ConvertedWeights:
    """Convert WeSpeaker's ResNet with temporal statistics pooling by renaming its layers."""
    state = without_classifier(content)
    tensors = {f"encoder.{layer_name(key)}": tensor for key, tensor in state.items()}
    return ConvertedWeights(_config(state), tensors)


def _config(state: Mapping[str, Tensor]) -> ResnetConfig:
    check_marks(state, MARKS, "WeSpeaker's ResNet")
    config = ResnetConfig(
        layers=tuple(
            count_layers(state, rf"layer{stage}\.(\d+)\.conv1\.weight$") for stage in (1, 2, 3, 4)
        ),
        bottleneck="layer1.0.conv3.weight" in state,
        channels=len(state["conv1.weight"]),
        embedding_dim=len(state["seg_1.weight"]),
        second_linear="seg_2.weight" in state,
    )
    check_pooling(state, 8 * config.channels * (4 if config.bottleneck else 1), "a ResNet")
    return config


def convert_pyannote(content: Content) -> ConvertedWeights:
    """Convert the same network from below pyannote's prefix."""
    tensors = only_tensors(content.values)
    inside = {
        name.removeprefix(PYANNOTE_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(PYANNOTE_PREFIX)
    }
    return convert(replace(content, values=inside or tensors))


WESPEAKER = WeightsFormat("ResNet of WeSpeaker, avg_model.pt", (MARKS,), convert)
PYANNOTE = WeightsFormat(
    "WeSpeaker's ResNet in pyannote's wrapper, pytorch_model.bin of wespeaker-voxceleb-resnet34-LM",
    (tuple(f"{PYANNOTE_PREFIX}{mark}" for mark in MARKS),),
    convert_pyannote,
)
