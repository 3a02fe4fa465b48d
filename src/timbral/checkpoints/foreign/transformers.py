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
    WeightsFormat,
    only_tensors,
    rename,
    without_weight_norm,
)
from timbral.config.yaml import from_mapping
from timbral.encoders.wavlm.wavlm_config import WavlmConfig
from timbral.errors import CheckpointError, ConfigError

__all__ = ["MARK", "TRANSFORMERS", "wavlm_tensors"]

NAMES = (
    (r"^wavlm\.feature_extractor\.conv_layers\.(\d+)\.conv\.", r"frontend.convs.\1."),
    (r"^wavlm\.feature_extractor\.conv_layers\.(\d+)\.layer_norm\.", r"frontend.norms.\1."),
    (r"^wavlm\.feature_projection\.layer_norm\.", "transformer.input_norm."),
    (r"^wavlm\.feature_projection\.projection\.", "transformer.projection."),
    (r"^wavlm\.masked_spec_embed$", "transformer.masked_spec_embed"),
    (r"^wavlm\.encoder\.pos_conv_embed\.conv\.", "transformer.pos_conv_embed."),
    (r"^wavlm\.encoder\.layer_norm\.", "transformer.layer_norm."),
    (r"^wavlm\.encoder\.layers\.0\.attention\.rel_attn_embed\.", "transformer.rel_attn_embed."),
    (r"^wavlm\.encoder\.layers\.", "transformer.layers."),
    (r"\.feed_forward\.", "."),
    (r"^layer_weights$", "layer_sum.layer_weights"),
    (r"^projector\.", "head.projector."),
    (r"^tdnn\.(\d+)\.kernel\.", r"head.tdnn.\1."),
    (r"^feature_extractor\.", "head.linear."),
)
MARK = "encoder.layers.0.attention.gru_rel_pos_const"
"""a tensor that HuBERT and wav2vec 2.0 lack, whose other names are the same"""
NEEDED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "feat_extract_norm",
    "do_stable_layer_norm",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "num_buckets",
    "max_bucket_distance",
    "tdnn_dim",
    "tdnn_kernel",
    "tdnn_dilation",
    "hidden_dropout",
    "attention_dropout",
    "layerdrop",
)
OPTIONAL = ("do_normalize", "mask_time_prob", "mask_time_length", "mask_time_min_masks")
"""keys of config.json that have the same name and meaning in `WavlmConfig`"""
UNUSED = re.compile(r"classifier\.|objective\.|wavlm\.adapter\.")
"""tensors of the original's training, not needed for embeddings"""


def wavlm_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as ``encoder.*`` of transformers' WavLMForXVector, or of a bare WavLMModel."""
    if not any(key.startswith("wavlm.") for key in state):
        state = {f"wavlm.{key}": tensor for key, tensor in state.items()}
    state = without_weight_norm(state, "wavlm.encoder.pos_conv_embed.conv.")
    tensors: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if UNUSED.match(key):
            continue
        name = rename(key, NAMES)
        if name.endswith(".gru_rel_pos_const"):  # (1, heads, 1, 1)
            tensor = tensor.flatten()
        elif name.startswith("head.tdnn.") and tensor.ndim == 2:
            tensor = _as_convolution(key, state)
        tensors[f"encoder.{name}"] = tensor.contiguous()
    bias = tensors.get("encoder.transformer.projection.bias")
    if bias is not None:  # a model trained without masked frames has no embedding for them
        tensors.setdefault("encoder.transformer.masked_spec_embed", torch.zeros_like(bias))
    return tensors


def _as_convolution(key: str, state: Mapping[str, Tensor]) -> Tensor:
    """The matrix (C', kernel × C) of ``tdnn.N.kernel``, taps first, as a weight (C', C, kernel)."""
    weight, index = state[key], int(key.split(".")[1])
    before = state.get(f"tdnn.{index - 1}.kernel.bias" if index else "projector.bias")
    if before is None or weight.shape[1] % len(before):
        return weight  # loading then reports what does not fit
    return weight.view(len(weight), -1, len(before)).transpose(1, 2)


def config_from(content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> WavlmConfig:
    """The config from a transformers ``config.json`` (with preprocessor_config.json merged in)."""
    fixed = {"conv_bias": False, "hidden_act": "gelu", "feat_extract_activation": "gelu"}
    for key, value in {**fixed, "add_adapter": False}.items():
        if content.get(key, value) != value:
            raise CheckpointError(
                f"config.json: {key} is {content[key]!r}; only {value!r} is supported"
            )
    taken = {name: content[name] for name in NEEDED}
    taken |= {name: content[name] for name in OPTIONAL if name in content}
    if not content.get("apply_spec_augment", True):
        taken["mask_time_prob"] = 0.0
    taken["use_weighted_layer_sum"] = "encoder.layer_sum.layer_weights" in tensors
    taken["embedding_dim"] = content["xvector_output_dim"]
    return from_mapping(WavlmConfig, taken, "config.json")


def has_wavlm_config(content: Content) -> bool:
    """Whether there is a config.json of a WavLM next to the weights."""
    return content.config is not None and content.config.get("model_type") == "wavlm"


def convert(content: Content) -> ConvertedWeights:
    """Convert a folder of WavLM; if it has no x-vector head, that is newly initialized."""
    if content.config is None or not has_wavlm_config(content):
        raise CheckpointError(
            "these are not weights of transformers' WavLM: there is no config.json with model_type "
            "'wavlm' next to them"
        )
    tensors = wavlm_tensors(only_tensors(content.values))
    has_head = "encoder.head.projector.weight" in tensors
    try:
        config = config_from(content.config, tensors)
    except KeyError as error:
        raise CheckpointError(f"config.json has no {error}, which a WavLM needs") from None
    except (TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"no WavLM can be built from config.json: {error}") from None
    return ConvertedWeights(config, tensors, uninitialized_prefixes=() if has_head else ("head.",))


TRANSFORMERS = WeightsFormat(
    "WavLM of transformers, a folder with config.json and model.safetensors",
    ((f"wavlm.{MARK}",), (MARK,)),
    convert,
    has_wavlm_config,
)
