"""WavLM with the ECAPA-TDNN of UniSpeech's speaker verification: ``wavlm_large_finetune.pth``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    count_layers,
    only_tensors,
    rename,
    requiring_tensors_of,
)
from timbral.checkpoints.foreign.microsoft_wavlm import split_wavlm, wavlm_sizes, wavlm_tensors
from timbral.checkpoints.foreign.res2net_channels import last_group_first
from timbral.encoders.wavlm_ecapa import WavlmEcapaConfig
from timbral.errors import CheckpointError

__all__ = ["UNISPEECH", "ecapa_tensors"]

WAVLM = "feature_extract.model."
"""prefix of WavLM's tensors"""
MARKS = (
    f"{WAVLM}encoder.layers.0.self_attn.grep_a",
    "feature_weight",
    "layer1.conv.weight",
    "layer2.Res2Conv1dReluBn.convs.0.weight",
    "pooling.linear1.weight",
)
NAMES = (
    (r"^feature_weight$", "pooling.layer_sum.layer_weights"),
    (r"^layer1\.conv\.", "pooling.input.conv."),
    (r"^layer1\.bn\.", "pooling.input.norm."),
    (r"\.Conv1dReluBn1\.conv\.", ".tdnn1.conv."),
    (r"\.Conv1dReluBn1\.bn\.", ".tdnn1.norm."),
    (r"\.Conv1dReluBn2\.conv\.", ".tdnn2.conv."),
    (r"\.Conv1dReluBn2\.bn\.", ".tdnn2.norm."),
    (r"\.Res2Conv1dReluBn\.convs\.(\d+)\.", r".res2net_block.blocks.\1.conv."),
    (r"\.Res2Conv1dReluBn\.bns\.(\d+)\.", r".res2net_block.blocks.\1.norm."),
    (r"\.SE_Connect\.linear(\d)\.", r".se_block.conv\1."),
    (r"^conv\.", "pooling.mfa.conv."),
    (r"^pooling\.linear1\.", "pooling.asp.hidden."),
    (r"^pooling\.linear2\.", "pooling.asp.scores."),
    (r"^bn\.", "pooling.asp_bn."),
    (r"^linear\.", "pooling.fc."),
)
PRODUCTS = re.compile(r"^pooling\.asp\.(?:hidden|scores)\.weight$")
"""convolutions of kernel 1 that are linear layers here"""


def convert(content: Content) -> ConvertedWeights:
    """Convert any size of WavLM with an ECAPA-TDNN on its weighted layers; no preprocessing."""
    wavlm, state = split_wavlm(only_tensors(content.values), WAVLM)
    with requiring_tensors_of("UniSpeech's WavLM with ECAPA-TDNN"):
        config = _config(wavlm, state)
    head = ecapa_tensors(state, config.channels, config.res2net_scale)
    tensors = wavlm_tensors(wavlm) | {f"encoder.{name}": each for name, each in head.items()}
    return ConvertedWeights(config, tensors, content.step, Preprocessing(min_rms_dbfs=None))


def ecapa_tensors(state: Mapping[str, Tensor], channels: int, scale: int) -> dict[str, Tensor]:
    """Tensors of the ECAPA-TDNN and of the layers' weights, as tensors of a `SmallEcapa`.

    `channels` is the width of its blocks, `scale` the number of groups in a Res2Net block.
    """
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = re.sub(r"^layer([234])\.", lambda match: f"pooling.blocks.{int(match[1]) - 2}.", key)
        name = rename(name, NAMES)
        if PRODUCTS.match(name) and tensor.ndim == 3:
            tensor = tensor[:, :, 0]
        tensors[name] = last_group_first(name, tensor, channels, scale).contiguous()
    return tensors


def _config(wavlm: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> WavlmEcapaConfig:
    """Sizes, read from the tensors; KeyError for a missing one.

    Whether samples are normalized is in no tensor: those of a large model are.
    """
    sizes = wavlm_sizes(wavlm)
    groups = count_layers(state, r"layer2\.Res2Conv1dReluBn\.convs\.(\d+)\.weight")
    if any(re.match(r"layer[234]\.shortcut\.", key) for key in state):
        raise CheckpointError(
            "UniSpeech's ECAPA-TDNN with blocks of different widths is not supported"
        )
    pooled = len(state["conv.weight"])
    if state["pooling.linear1.weight"].shape[1] != pooled:
        raise CheckpointError("UniSpeech's ECAPA-TDNN with global context is not supported")
    return WavlmEcapaConfig(
        **sizes,
        do_normalize=sizes["do_stable_layer_norm"],
        channels=len(state["layer1.conv.weight"]),
        pooled_channels=pooled,
        attention_channels=len(state["pooling.linear1.weight"]),
        se_channels=len(state["layer2.SE_Connect.linear1.weight"]),
        res2net_scale=groups + 1,
        embedding_dim=len(state["linear.weight"]),
    )


UNISPEECH = WeightsFormat(
    "WavLM with ECAPA-TDNN of UniSpeech, wavlm_large_finetune.pth (SIM-o)", (MARKS,), convert
)
