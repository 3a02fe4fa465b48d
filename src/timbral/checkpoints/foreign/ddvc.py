"""Checkpoints of ddvc: ``encoder.pt``, ``best_model.pt``, ``encoder_NNNNNN.bak``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    count_layers,
    only_tensors,
    requiring_tensors_of,
)
from timbral.checkpoints.foreign.speechbrain import MARKS as ECAPA_MARKS
from timbral.checkpoints.foreign.speechbrain import ecapa_tensors
from timbral.checkpoints.foreign.transformers import MARK as WAVLM_MARK
from timbral.checkpoints.foreign.transformers import wavlm_tensors
from timbral.checkpoints.weights import with_prefix
from timbral.encoders.ecapa import EcapaConfig
from timbral.encoders.wavlm.wavlm_config import WavlmConfig
from timbral.errors import CheckpointError

__all__ = ["DDVC"]

ECAPA, WAVLM = "model.mods.embedding_model.", "model.wavlm."
"""prefixes of names of tensors"""


def lies_below_model_state(content: Content) -> bool:
    """Whether the encoder is under the key of ddvc, as Lightning may use the same prefixes."""
    return content.keys[-1:] == ("model_state",)


def convert(content: Content) -> ConvertedWeights:
    """Convert encoder and loss; SpeechBrain's classifier and features in the file are dropped."""
    state = only_tensors(content.values)
    encoder: EcapaConfig | WavlmConfig
    if any(key.startswith(ECAPA) for key in state):
        encoder, tensors = ecapa_tensors(with_prefix(state, ECAPA.rstrip(".")))
    elif any(key.startswith(WAVLM) for key in state):
        tensors = wavlm_tensors(with_prefix(state, "model"))
        encoder = wavlm_config(tensors)
    else:
        raise CheckpointError("these are not weights of ddvc: they contain neither ECAPA nor WavLM")
    for key, tensor in state.items():
        if key.startswith("similarity_"):
            tensors[f"loss.{key}"] = tensor.reshape(-1)
    return ConvertedWeights(encoder, tensors, content.step, Preprocessing(trim="edges"))


def wavlm_config(tensors: Mapping[str, Tensor]) -> WavlmConfig:
    """Sizes, read from the tensors, else those of the published models.

    Models whose convolutions are layer-normalized (large) also normalize waves, and use pre-norm
    layers.
    """
    large = "encoder.frontend.norms.1.weight" in tensors
    with requiring_tensors_of("WavLM"):
        hidden, channels = tensors["encoder.transformer.projection.weight"].shape
        buckets, heads = tensors["encoder.transformer.rel_attn_embed.weight"].shape
        return WavlmConfig(
            hidden_size=hidden,
            num_hidden_layers=count_layers(tensors, r"encoder\.transformer\.layers\.(\d+)\."),
            num_attention_heads=heads,
            intermediate_size=len(tensors["encoder.transformer.layers.0.intermediate_dense.bias"]),
            conv_dim=(channels,) * len(WavlmConfig.conv_dim),
            feat_extract_norm="layer" if large else "group",
            do_stable_layer_norm=large,
            num_conv_pos_embeddings=tensors["encoder.transformer.pos_conv_embed.weight"].shape[2],
            num_buckets=buckets,
            do_normalize=large,
            use_weighted_layer_sum="encoder.layer_sum.layer_weights" in tensors,
            tdnn_dim=tuple(
                len(tensors[f"encoder.head.tdnn.{index}.bias"])
                for index in range(len(WavlmConfig.tdnn_dim))
            ),
            embedding_dim=len(tensors["encoder.head.linear.bias"]),
        )


DDVC = WeightsFormat(
    "checkpoint of ddvc: ECAPA-TDNN or WavLM with GE2E",
    (tuple(ECAPA + mark for mark in ECAPA_MARKS), (f"{WAVLM}{WAVLM_MARK}",)),
    convert,
    lies_below_model_state,
)
