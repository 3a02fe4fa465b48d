"""Checkpoints of ddvc: ``encoder.pt``, ``best_model.pt``, ``encoder_NNNNNN.bak``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import Format, Weights, only_tensors
from timbral.checkpoints.foreign.speechbrain import ecapa_tensors
from timbral.checkpoints.foreign.transformers import wavlm_tensors
from timbral.encoders.wavlm import WavlmConfig
from timbral.errors import CheckpointError

__all__ = ["DDVC"]

ECAPA, WAVLM = "model.mods.embedding_model.", "model.wavlm."


def _state(content: Any) -> Mapping[str, Any]:
    state = content.get("model_state") if isinstance(content, dict) else None
    return state if isinstance(state, Mapping) else {}


def recognizes(content: Any) -> bool:
    """A dict whose `model_state` holds a whole SpeechBrain or transformers model."""
    return any(str(key).startswith((ECAPA, WAVLM)) for key in _state(content))


def convert(content: Any) -> Weights:
    """Encoder and loss; SpeechBrain's classifier and features, which it also holds, are left."""
    state = only_tensors(_state(content))
    losses = {f"loss.{key}": state[key] for key in state if key.startswith("similarity_")}
    if any(key.startswith(ECAPA) for key in state):
        config, tensors = ecapa_tensors(_below(state, ECAPA))
        encoder: Any = config
    elif any(key.startswith(WAVLM) for key in state):
        tensors = wavlm_tensors(_below(state, "model."))
        encoder = wavlm_config(tensors)
    else:
        raise CheckpointError("these are not weights of ddvc: neither ECAPA nor WavLM in them")
    flat = {key: tensor.reshape(-1) for key, tensor in losses.items()}
    trimmed = Preprocessing(trim="edges")
    return Weights(encoder, {**tensors, **flat}, int(content.get("step", 0)), trimmed)


def _below(state: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}


def wavlm_config(tensors: Mapping[str, Tensor]) -> WavlmConfig:
    """Sizes, read off the tensors; what they cannot say is as the published models have it.

    Those whose convolutions are layer-normalized (large) also normalize layers first, and waves.
    """
    layers = {
        match[1]
        for key in tensors
        if (match := re.match(r"encoder\.transformer\.layers\.(\d+)\.", key))
    }
    large = "encoder.frontend.norms.1.weight" in tensors
    try:
        hidden, channels = tensors["encoder.transformer.projection.weight"].shape
        buckets, heads = tensors["encoder.transformer.relative.weight"].shape
        return WavlmConfig(
            hidden_size=hidden,
            layers=len(layers),
            heads=heads,
            intermediate_size=len(tensors["encoder.transformer.layers.0.expand.bias"]),
            conv_channels=channels,
            conv_norm="layer" if large else "group",
            norm_first=large,
            normalize_waves=large,
            position_kernel=tensors["encoder.transformer.position_conv.weight"].shape[2],
            buckets=buckets,
            weighted_layers="encoder.mix.weights" in tensors,
            tdnn_channels=tuple(
                len(tensors[f"encoder.head.tdnn.{index}.bias"])
                for index in range(len(WavlmConfig.tdnn_channels))
            ),
            embedding_size=len(tensors["encoder.head.linear.bias"]),
        )
    except KeyError as error:
        raise CheckpointError(f"these are not weights of WavLM: {error} is missing") from None


DDVC = Format("checkpoint of ddvc: ECAPA-TDNN or WavLM with GE2E", recognizes, convert)
