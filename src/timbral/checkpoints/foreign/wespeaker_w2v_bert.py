"""w2v-BERT 2.0 with adapters and attentive pooling of WeSpeaker (``W2VBert_Adapter_MFA``)."""

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
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertConfig
from timbral.errors import CheckpointError

__all__ = ["PRODUCTS", "WESPEAKER_W2V_BERT"]

FIRST = "frontend.encoder.encoder.layers.0."
MARKS = (
    f"{FIRST}self_attn.distance_embedding.weight",
    f"{FIRST}conv_module.depthwise_conv.weight",
    "adapter_layers.0.0.weight",
    "pooling.attention.0.weight",
    "bottleneck.weight",
)
UNUSED = re.compile(r"^(?:projection\.|frontend\.encoder\.masked_spec_embed$)")
"""the classifier that WeSpeaker keeps in the same file, and the embedding of masked frames"""
NAMES = (
    (r"^frontend\.encoder\.feature_projection\.layer_norm\.", "input_norm."),
    (r"^frontend\.encoder\.feature_projection\.projection\.", "projection."),
    (r"^frontend\.encoder\.encoder\.layers\.", "layers."),
    (r"^adapter_layers\.", "pooling.adapters."),
    (r"^pooling\.attention\.0\.", "pooling.hidden."),
    (r"^pooling\.attention\.2\.", "pooling.norm."),
    (r"^pooling\.attention\.3\.", "pooling.scores."),
    (r"^bottleneck\.", "pooling.output."),
)
PRODUCTS = re.compile(r"\.(?:pointwise_conv\d|hidden|scores)\.weight$")
"""convolutions of kernel 1 that are linear layers here"""
RIGHT_POSITIONS = 8
"""positions to the right in w2v-BERT 2.0; no tensor says how distances are split between sides"""


def convert(content: Content) -> ConvertedWeights:
    """Convert any size; low-rank updates must have been merged."""
    state = only_tensors(content.values)
    if any(".lora_" in name for name in state):
        raise CheckpointError(
            "this w2v-BERT has low-rank updates (LoRA) next to its weights; merge them first, in "
            "the project that the file comes from"
        )
    with requiring_tensors_of("WeSpeaker's w2v-BERT"):
        config = _config(state)
    tensors = {}
    for key, tensor in state.items():
        if not UNUSED.match(key):
            name = rename(key, NAMES)
            if PRODUCTS.search(name):
                tensor = tensor.flatten(1)
            tensors[f"encoder.{name}"] = tensor.contiguous()
    return ConvertedWeights(config, tensors, content.step, Preprocessing(min_rms_dbfs=None))


def _config(state: Mapping[str, Tensor]) -> W2vBertConfig:
    """Sizes, read from the tensors; KeyError for a missing one."""
    positions, head_size = state[f"{FIRST}self_attn.distance_embedding.weight"].shape
    hidden = len(state[f"{FIRST}final_layer_norm.weight"])
    return W2vBertConfig(
        hidden_size=hidden,
        num_hidden_layers=count_layers(state, r"frontend\.encoder\.encoder\.layers\.(\d+)\."),
        num_attention_heads=hidden // head_size,
        intermediate_size=len(state[f"{FIRST}ffn1.intermediate_dense.weight"]),
        conv_kernel=state[f"{FIRST}conv_module.depthwise_conv.weight"].shape[2],
        left_positions=positions - 1 - RIGHT_POSITIONS,
        right_positions=RIGHT_POSITIONS,
        states=count_layers(state, r"adapter_layers\.(\d+)\."),
        adapter_channels=len(state["adapter_layers.0.0.weight"]),
        attention_channels=len(state["pooling.attention.0.weight"]),
        embedding_dim=len(state["bottleneck.weight"]),
    )


WESPEAKER_W2V_BERT = WeightsFormat(
    "w2v-BERT 2.0 with adapters of WeSpeaker, avg_model.pt of W2VBert_Adapter_MFA",
    (MARKS,),
    convert,
)
