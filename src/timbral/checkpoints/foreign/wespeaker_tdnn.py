"""CAM++ and ECAPA-TDNN of WeSpeaker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    count_layers,
    rename,
    requiring_tensors_of,
)
from timbral.checkpoints.foreign.res2net_channels import last_group_first
from timbral.checkpoints.foreign.speakerlab import MARKS as CAMPPLUS_MARKS
from timbral.checkpoints.foreign.speakerlab import campplus_tensors
from timbral.checkpoints.foreign.wespeaker_classifier import has_classifier, without_classifier
from timbral.encoders.campplus import CampplusConfig
from timbral.encoders.ecapa import EcapaConfig
from timbral.errors import CheckpointError

__all__ = ["WESPEAKER_CAMPPLUS", "WESPEAKER_ECAPA"]

ECAPA_MARKS = (
    "layer1.conv.weight",
    "layer2.se_res2block.0.conv.weight",
    "layer4.se_res2block.3.linear1.weight",
    "pool.linear1.weight",
)
NAMES = (
    (r"^layer1\.conv\.", "input.conv."),
    (r"^layer1\.bn\.", "input.norm."),
    (r"\.se_res2block\.0\.conv\.", ".tdnn1.conv."),
    (r"\.se_res2block\.0\.bn\.", ".tdnn1.norm."),
    (r"\.se_res2block\.1\.convs\.(\d+)\.", r".res2net_block.blocks.\1.conv."),
    (r"\.se_res2block\.1\.bns\.(\d+)\.", r".res2net_block.blocks.\1.norm."),
    (r"\.se_res2block\.2\.conv\.", ".tdnn2.conv."),
    (r"\.se_res2block\.2\.bn\.", ".tdnn2.norm."),
    (r"\.se_res2block\.3\.linear(\d)\.", r".se_block.conv\1."),
    (r"^conv\.", "mfa.conv."),
    (r"^pool\.linear1\.", "asp.hidden."),
    (r"^pool\.linear2\.", "asp.scores."),
    (r"^bn\.", "asp_bn."),
    (r"^linear\.", "fc."),
)
PRODUCTS = re.compile(r"^asp\.(hidden|scores)\.weight$")
"""convolutions of kernel 1 that are linear layers here"""


def convert_campplus(content: Content) -> ConvertedWeights:
    """Convert WeSpeaker's CAM++: the same tensors as 3D-Speaker's, with other filter banks."""
    embedding, tensors = campplus_tensors(without_classifier(content))
    config = CampplusConfig(embedding_dim=embedding, filter_banks="wespeaker")
    return ConvertedWeights(config, tensors)


def convert_ecapa(content: Content) -> ConvertedWeights:
    """Convert ``ECAPA_TDNN`` or ``ECAPA_TDNN_GLOB`` of any width, with ASTP pooling."""
    state = without_classifier(content)
    with requiring_tensors_of("WeSpeaker's ECAPA-TDNN"):
        config = _ecapa_config(state)
    tensors = {}
    for key, tensor in state.items():
        name = re.sub(r"^layer([234])\.", lambda match: f"blocks.{int(match[1]) - 2}.", key)
        name = rename(name, NAMES)
        weight = tensor[:, :, 0] if PRODUCTS.match(name) and tensor.ndim == 3 else tensor
        weight = last_group_first(name, weight, config.channels, config.res2net_scale)
        tensors[f"encoder.{name}"] = weight
    return ConvertedWeights(config, tensors)


def _ecapa_config(state: Mapping[str, Tensor]) -> EcapaConfig:
    """Sizes, read from the tensors; KeyError for a missing one."""
    pooled = len(state["conv.weight"])
    seen = state["pool.linear1.weight"].shape[1]
    if seen not in (pooled, 3 * pooled):
        raise CheckpointError(
            f"the attention of WeSpeaker's ECAPA-TDNN takes {pooled} or {3 * pooled} numbers "
            f"per frame, this one's {seen}"
        )
    if any(name.startswith("bn2.") for name in state):
        raise CheckpointError(
            "WeSpeaker's ECAPA-TDNN with a batch norm after its vectors (emb_bn) is not supported"
        )
    groups = count_layers(state, r"layer2\.se_res2block\.1\.convs\.(\d+)\.weight")
    return EcapaConfig(
        channels=len(state["layer1.conv.weight"]),
        pooled_channels=pooled,
        attention_channels=len(state["pool.linear1.weight"]),
        se_channels=len(state["layer2.se_res2block.3.linear1.weight"]),
        res2net_scale=groups + 1,
        embedding_dim=len(state["linear.weight"]),
        variant="wespeaker",
        global_context=seen == 3 * pooled,
    )


WESPEAKER_CAMPPLUS = WeightsFormat(
    "CAM++ of WeSpeaker, avg_model.pt", (CAMPPLUS_MARKS,), convert_campplus, has_classifier
)
WESPEAKER_ECAPA = WeightsFormat(
    "ECAPA-TDNN of WeSpeaker, avg_model.pt", (ECAPA_MARKS,), convert_ecapa
)
