"""WavLM with MHFA of BUT's WeSpeaker (wespeaker_ssl_public), ``avg_model.pt`` of its recipes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    rename,
    requiring_tensors_of,
)
from timbral.checkpoints.foreign.microsoft_wavlm import split_wavlm, wavlm_sizes, wavlm_tensors
from timbral.checkpoints.foreign.wespeaker_classifier import without_classifier
from timbral.encoders.wavlm_mhfa import WavlmMhfaConfig

__all__ = ["WESPEAKER_MHFA"]

WAVLM = "model."
"""prefix of WavLM's tensors"""
HEAD = "back_end."
MARKS = (
    f"{HEAD}weights_k",
    f"{HEAD}weights_v",
    f"{HEAD}cmp_linear_k.weight",
    f"{HEAD}att_head.weight",
    f"{HEAD}pooling_fc.weight",
    f"{WAVLM}encoder.layers.0.self_attn.grep_a",
)
NAMES = (
    (r"^back_end\.weights_k$", "pooling.key_sum.layer_weights"),
    (r"^back_end\.weights_v$", "pooling.value_sum.layer_weights"),
    (r"^back_end\.cmp_linear_k\.", "pooling.key."),
    (r"^back_end\.cmp_linear_v\.", "pooling.value."),
    (r"^back_end\.att_head\.", "pooling.scores."),
    (r"^back_end\.pooling_fc\.", "pooling.output."),
)
MASKED = "encoder.transformer.masked_spec_embed"
"""replaces masked frames in training; BUT's WavLM has none"""


def convert(content: Content) -> ConvertedWeights:
    """Convert any size of WavLM with MHFA; waves are not normalized, as in BUT's code."""
    wavlm, state = split_wavlm(without_classifier(content), WAVLM)
    with requiring_tensors_of("BUT's WavLM with MHFA"):
        config = _config(wavlm, state)
    tensors = {MASKED: torch.zeros(config.hidden_size), **wavlm_tensors(wavlm)}
    if config.do_stable_layer_norm:  # norm of the last state, which MHFA does not use
        tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith("encoder.transformer.layer_norm.")
        }
    for key, tensor in state.items():
        tensors[f"encoder.{rename(key, NAMES)}"] = tensor.contiguous()
    return ConvertedWeights(config, tensors, content.step, Preprocessing(min_rms_dbfs=None))


def _config(wavlm: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> WavlmMhfaConfig:
    """Sizes, read from the tensors; KeyError for a missing one."""
    return WavlmMhfaConfig(
        **wavlm_sizes(wavlm),
        pooling_heads=len(state[f"{HEAD}att_head.weight"]),
        compressed_channels=len(state[f"{HEAD}cmp_linear_k.weight"]),
        embedding_dim=len(state[f"{HEAD}pooling_fc.weight"]),
    )


WESPEAKER_MHFA = WeightsFormat(
    "WavLM with MHFA of BUT's WeSpeaker, avg_model.pt of WavLM_MHFA", (MARKS,), convert
)
