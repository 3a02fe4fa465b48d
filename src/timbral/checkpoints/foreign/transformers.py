"""WavLM of transformers: a folder with config.json and weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    Format,
    only_tensors,
    rename,
)
from timbral.encoders.wavlm import WavlmConfig
from timbral.errors import CheckpointError, ConfigError

__all__ = ["TRANSFORMERS", "wavlm_tensors"]

NAMES = (
    (r"^wavlm\.feature_extractor\.conv_layers\.(\d+)\.conv\.", r"frontend.convs.\1."),
    (r"^wavlm\.feature_extractor\.conv_layers\.(\d+)\.layer_norm\.", r"frontend.norms.\1."),
    (r"^wavlm\.feature_projection\.layer_norm\.", "transformer.input_norm."),
    (r"^wavlm\.feature_projection\.projection\.", "transformer.projection."),
    (r"^wavlm\.masked_spec_embed$", "transformer.hidden_frame"),
    (r"^wavlm\.encoder\.pos_conv_embed\.conv\.", "transformer.position_conv."),
    (r"^wavlm\.encoder\.layer_norm\.", "transformer.norm."),
    (r"^wavlm\.encoder\.layers\.0\.attention\.rel_attn_embed\.", "transformer.relative."),
    (r"^wavlm\.encoder\.layers\.", "transformer.layers."),
    (r"\.attention\.gru_rel_pos_const$", ".attention.gate_constant"),
    (r"\.attention\.gru_rel_pos_linear\.", ".attention.gate."),
    (r"\.(\d+)\.layer_norm\.", r".\1.attention_norm."),
    (r"\.feed_forward\.intermediate_dense\.", ".expand."),
    (r"\.feed_forward\.output_dense\.", ".contract."),
    (r"\.final_layer_norm\.", ".final_norm."),
    (r"^layer_weights$", "mix.weights"),
    (r"^projector\.", "head.projector."),
    (r"^tdnn\.(\d+)\.kernel\.", r"head.tdnn.\1."),
    (r"^feature_extractor\.", "head.linear."),
)
UNUSED = re.compile(r"classifier\.|objective\.|wavlm\.adapter\.")
"""of the original's training: not needed for embeddings"""


def wavlm_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors named ``encoder.*`` of transformers' WavLMForXVector, or of a bare WavLMModel."""
    if not any(key.startswith("wavlm.") for key in state):
        state = {f"wavlm.{key}": tensor for key, tensor in state.items()}
    state = _folded(state)
    tensors = {}
    for key, tensor in state.items():
        if UNUSED.match(key):
            continue
        name = rename(key, NAMES)
        if name.startswith("frontend.convs.") and tensor.ndim == 3:
            tensor = tensor.movedim(1, 2).flatten(1)  # taps first, as one matrix
        elif name.endswith(".gate_constant"):
            tensor = tensor.flatten()
        tensors[f"encoder.{name}"] = tensor.contiguous()
    bias = tensors.get("encoder.transformer.projection.bias")
    if bias is not None:  # a model trained without masked frames has no embedding for them
        tensors.setdefault("encoder.transformer.hidden_frame", torch.zeros_like(bias))
    return tensors


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight normalization of the positional convolution (g v / |v|, one g a tap) multiplied out.

    Transformers has written its two halves under two pairs of names.
    """
    state = dict(state)
    for length, direction in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        start = "wavlm.encoder.pos_conv_embed.conv."
        if start + length in state:
            g, v = state.pop(start + length), state.pop(start + direction)
            norm = torch.linalg.vector_norm(v, dim=(0, 1), keepdim=True)
            state[start + "weight"] = g * v / norm
    return state


def config_from(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> WavlmConfig:
    """Our config of a transformers ``config.json`` (and preprocessor_config.json, merged in)."""
    fixed = {"conv_bias": False, "hidden_act": "gelu", "feat_extract_activation": "gelu"}
    for key, value in {**fixed, "add_adapter": False}.items():
        if content.get(key, value) != value:
            raise CheckpointError(
                f"config.json: {key} is {content[key]!r}; only {value!r} is known"
            )
    widths = set(content["conv_dim"])
    if len(widths) != 1:
        raise CheckpointError(f"config.json: conv_dim has several widths: {content['conv_dim']}")
    return WavlmConfig(
        hidden_size=content["hidden_size"],
        layers=content["num_hidden_layers"],
        heads=content["num_attention_heads"],
        intermediate_size=content["intermediate_size"],
        conv_channels=widths.pop(),
        conv_kernels=tuple(content["conv_kernel"]),
        conv_strides=tuple(content["conv_stride"]),
        conv_norm=content["feat_extract_norm"],
        norm_first=content["do_stable_layer_norm"],
        position_kernel=content["num_conv_pos_embeddings"],
        position_groups=content["num_conv_pos_embedding_groups"],
        buckets=content["num_buckets"],
        max_distance=content["max_bucket_distance"],
        normalize_waves=content.get("do_normalize", False),
        weighted_layers="encoder.mix.weights" in tensors,
        tdnn_channels=tuple(content["tdnn_dim"]),
        tdnn_kernels=tuple(content["tdnn_kernel"]),
        tdnn_dilations=tuple(content["tdnn_dilation"]),
        embedding_size=content["xvector_output_dim"],
        dropout=content["hidden_dropout"],
        attention_dropout=content["attention_dropout"],
        layer_dropout=content["layerdrop"],
        mask_share=content.get("mask_time_prob", 0.05) * content.get("apply_spec_augment", True),
        mask_frames=content.get("mask_time_length", 10),
        mask_least=content.get("mask_time_min_masks", 2),
    )


def recognizes(content: Content) -> bool:
    """Weights beside a config.json of WavLM."""
    return content.config is not None and content.config.get("model_type") == "wavlm"


def convert(content: Content) -> ConvertedWeights:
    """A folder of WavLM; without an x-vector head in it, the head is newly initialized."""
    if content.config is None or not recognizes(content):
        raise CheckpointError("these are not weights of a WavLM beside its config.json")
    tensors = wavlm_tensors(only_tensors(content.values))
    has_head = "encoder.head.projector.weight" in tensors
    try:
        config = config_from(content.config, tensors)
    except KeyError as error:
        raise CheckpointError(f"config.json has no {error}; a WavLM's is needed") from None
    except (TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"config.json is not of a WavLM that can be built: {error}") from None
    return ConvertedWeights(config, tensors, uninitialized_prefixes=() if has_head else ("head.",))


TRANSFORMERS = Format(
    "WavLM of transformers, a folder with config.json and model.safetensors", recognizes, convert
)
