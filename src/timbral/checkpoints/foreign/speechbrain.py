"""ECAPA-TDNN of SpeechBrain."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    count_layers,
    only_tensors,
    rename,
    requiring_tensors_of,
)
from timbral.encoders.ecapa import EcapaConfig
from timbral.errors import CheckpointError

__all__ = ["MARKS", "SPEECHBRAIN", "ecapa_tensors"]

MARKS = ("blocks.0.conv.conv.weight", "mfa.conv.conv.weight")
FEATURES = "speechbrain.lobes.features.Fbank"
NAMES = (
    (r"^blocks\.0\.", "input."),
    (r"^blocks\.1\.", "blocks.0."),
    (r"^blocks\.2\.", "blocks.1."),
    (r"^blocks\.3\.", "blocks.2."),
    (r"\bconv\.conv\.", "conv."),
    (r"\b(norm|asp_bn)\.norm\.", r"\1."),
    (r"\b(conv1|conv2|fc)\.conv\.", r"\1."),
)
PRODUCTS = re.compile(r"(\.se_block\.conv[12]|^asp\.conv|^fc)\.conv\.weight$")
"""convolutions of kernel 1 that are linear layers here"""


def ecapa_tensors(state: Mapping[str, Tensor]) -> tuple[EcapaConfig, dict[str, Tensor]]:
    """Config of SpeechBrain's ``ECAPA_TDNN``, and its tensors as ``encoder.*``.

    Its convolutions of kernel 1 over vectors and scores are linear layers here. Raises
    CheckpointError if a tensor is missing.
    """
    tensors = {}
    for key, tensor in state.items():
        weight = tensor[:, :, 0] if tensor.ndim == 3 and PRODUCTS.search(key) else tensor
        tensors[f"encoder.{rename(key, NAMES)}"] = weight
    groups = count_layers(state, r"blocks\.1\.res2net_block\.blocks\.(\d+)\.")
    with requiring_tensors_of("ECAPA-TDNN"):
        config = EcapaConfig(
            channels=len(state[MARKS[0]]),
            pooled_channels=len(state["mfa.conv.conv.weight"]),
            attention_channels=len(state["asp.tdnn.conv.conv.weight"]),
            se_channels=len(state["blocks.1.se_block.conv1.conv.weight"]),
            res2net_scale=groups + 1,
            embedding_dim=len(state["fc.conv.weight"]),
        )
    return config, tensors


def convert(content: Content) -> ConvertedWeights:
    """Convert ``embedding_model.ckpt``, the state of an ``ECAPA_TDNN``.

    SpeechBrain's encoders for mel spectrograms of TTS have the same file and tensors; only the
    hyperparams.yaml next to it tells them apart.
    """
    if content.hyperparams and FEATURES not in content.hyperparams:
        raise CheckpointError(
            f"the features in its hyperparams.yaml are not made by {FEATURES}. timbral's "
            "ECAPA-TDNN needs those; with others, as in encoders for TTS, its vectors would "
            "differ"
        )
    return ConvertedWeights(*ecapa_tensors(only_tensors(content.values)))


SPEECHBRAIN = WeightsFormat("ECAPA-TDNN of SpeechBrain, embedding_model.ckpt", (MARKS,), convert)
