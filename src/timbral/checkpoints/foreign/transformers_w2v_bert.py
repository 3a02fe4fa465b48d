"""w2v-BERT 2.0 of transformers (``facebook/w2v-bert-2.0``): a folder with config.json and weights.

It has no speaker head: that of `w2v-bert-mhfa` is newly initialized and must be trained first.
Encoders with other heads can also be initialized from it (`load_weights`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    only_tensors,
    rename,
)
from timbral.checkpoints.foreign.wespeaker_w2v_bert import PRODUCTS
from timbral.config.yaml import from_mapping
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertMhfaConfig
from timbral.errors import CheckpointError, ConfigError

__all__ = ["TRANSFORMERS_W2V_BERT"]

MODEL_TYPE = "wav2vec2-bert"
MARKS = (
    "encoder.layers.0.self_attn.distance_embedding.weight",
    "encoder.layers.0.conv_module.depthwise_conv.weight",
    "feature_projection.projection.weight",
)
NAMES = (
    (r"^feature_projection\.layer_norm\.", "input_norm."),
    (r"^feature_projection\.projection\.", "projection."),
    (r"^encoder\.layers\.", "layers."),
)
UNUSED = re.compile(r"^(?:masked_spec_embed$|lm_head\.|projector\.|classifier\.)")
SIZES = {
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "conv_depthwise_kernel_size": "conv_kernel",
    "left_max_position_embeddings": "left_positions",
    "right_max_position_embeddings": "right_positions",
}
"""keys of config.json, and their names in timbral"""
KNOWN = {
    "position_embeddings_type": ("relative_key",),
    "hidden_act": ("swish", "silu"),
    "add_adapter": (False,),
    "feature_projection_input_dim": (160,),
}
"""other settings, and their supported values; the first is the default"""


def is_w2v_bert(content: Content) -> bool:
    """Whether there is a config.json of a w2v-BERT next to the weights."""
    return content.config is not None and content.config.get("model_type") == MODEL_TYPE


def convert(content: Content) -> ConvertedWeights:
    """Convert any size; CheckpointError unless there is a config.json of a supported w2v-BERT."""
    if content.config is None or not is_w2v_bert(content):
        raise CheckpointError(
            "these are not weights of transformers' w2v-BERT: there is no config.json with "
            f"model_type {MODEL_TYPE!r} next to them"
        )
    config = _config(content.config)
    tensors: dict[str, Tensor] = {}
    for key, tensor in only_tensors(content.values).items():
        if not UNUSED.match(key):
            name = rename(key, NAMES)
            tensors[f"encoder.{name}"] = (
                tensor.flatten(1) if PRODUCTS.search(name) else tensor
            ).contiguous()
    return ConvertedWeights(
        config,
        tensors,
        preprocessing=Preprocessing(min_rms_dbfs=None),
        uninitialized_prefixes=("pooling.",),
    )


def _config(content: Mapping[str, Any]) -> W2vBertMhfaConfig:
    for key, known in KNOWN.items():
        if content.get(key, known[0]) not in known:
            raise CheckpointError(
                f"config.json: {key} is {content[key]!r:.60}; only {known[0]!r} is supported"
            )
    try:
        sizes = {ours: content[theirs] for theirs, ours in SIZES.items() if theirs in content}
        return from_mapping(W2vBertMhfaConfig, sizes, "config.json")
    except (TypeError, ValueError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"no w2v-BERT can be built from config.json: {reason}") from None


TRANSFORMERS_W2V_BERT = WeightsFormat(
    "w2v-BERT 2.0 of transformers, a folder with config.json and model.safetensors",
    (MARKS,),
    convert,
    is_w2v_bert,
)
