"""ResNets of WeSpeaker, also in pyannote's wrapper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    Format,
    only_tensors,
    rename,
)
from timbral.encoders.resnet import ResnetConfig
from timbral.errors import CheckpointError

__all__ = ["PYANNOTE", "WESPEAKER"]

MARKS = ("seg_1.weight", "conv1.weight", "layer1.0.conv2.weight", "layer4.0.conv2.weight")
PYANNOTE_PREFIX = "resnet."
"""prefix of the network in pyannote's wrapper"""
BINS_LEFT = 10
"""of 80 filter banks, after three strides of two"""
CLASSIFIER = "projection."
"""prefix of the classifier over the training speakers, which WeSpeaker keeps in the same file"""

NAMES: tuple[tuple[str, str], ...] = (
    (r"^conv1\.", "conv."),
    (r"^bn1\.", "norm."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.shortcut\.0\.", ".shortcut."),
    (r"\.shortcut\.1\.", ".shortcut_norm."),
    (r"^seg_1\.", "linear."),
    (r"^seg_bn_1\.", "second.1."),
    (r"^seg_2\.", "second.2."),
)


def convert(content: Content) -> ConvertedWeights:
    """Convert WeSpeaker's ResNet with temporal statistics pooling by renaming its layers."""
    state = {
        name: tensor
        for name, tensor in only_tensors(content.values).items()
        if not name.startswith(CLASSIFIER)
    }
    config = _config(state)
    tensors = {}
    for key, tensor in state.items():
        stage = re.sub(r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}.", key)
        tensors[f"encoder.{rename(stage, NAMES)}"] = tensor
    return ConvertedWeights(config, tensors)


def _config(state: Mapping[str, Tensor]) -> ResnetConfig:
    missing = next((mark for mark in MARKS if mark not in state), None)
    if missing is not None:
        raise CheckpointError(f"these are not weights of WeSpeaker's ResNet: {missing} is missing")
    config = ResnetConfig(
        layers=tuple(_blocks(state, stage) for stage in (1, 2, 3, 4)),
        bottleneck="layer1.0.conv3.weight" in state,
        channels=len(state["conv1.weight"]),
        embedding_dim=len(state["seg_1.weight"]),
        second_linear="seg_2.weight" in state,
    )
    statistics = BINS_LEFT * 8 * config.channels * (4 if config.bottleneck else 1)
    pooled = state["seg_1.weight"].shape[1]
    if pooled != 2 * statistics or any(name.startswith("pool.") for name in state):
        raise CheckpointError(
            "only ResNets with temporal statistics pooling (TSTP) on 80 filter banks are "
            f"supported. The linear layer of this one takes {pooled:,} numbers instead of "
            f"{2 * statistics:,}, or its pooling has weights"
        )
    return config


def _blocks(state: Mapping[str, Tensor], stage: int) -> int:
    pattern = re.compile(rf"layer{stage}\.(\d+)\.conv1\.weight")
    return sum(bool(pattern.fullmatch(name)) for name in state)


def convert_pyannote(content: Content) -> ConvertedWeights:
    """Convert the same network from below pyannote's prefix."""
    tensors = only_tensors(content.values)
    inside = {
        name.removeprefix(PYANNOTE_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(PYANNOTE_PREFIX)
    }
    return convert(replace(content, values=inside or tensors))


WESPEAKER = Format("ResNet of WeSpeaker, avg_model.pt", (MARKS,), convert)
PYANNOTE = Format(
    "WeSpeaker's ResNet in pyannote's wrapper, pytorch_model.bin of wespeaker-voxceleb-resnet34-LM",
    (tuple(f"{PYANNOTE_PREFIX}{mark}" for mark in MARKS),),
    convert_pyannote,
)
