"""WavLM with the tensor names of Microsoft's code, which heads of other projects keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timbral.checkpoints.foreign.base import count_layers, rename, without_weight_norm

__all__ = ["split_wavlm", "wavlm_sizes", "wavlm_tensors"]

CONV_LAYERS = 7
WEIGHT_NORM = "encoder.pos_conv.0."
LAYER = r"encoder\.layers\.(\d+)\."
NAMES = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"frontend.convs.\1."),
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?",
        r"frontend.norms.\1.",
    ),
    (r"^layer_norm\.", "transformer.input_norm."),
    (r"^post_extract_proj\.", "transformer.projection."),
    (r"^mask_emb$", "transformer.masked_spec_embed"),
    (r"^encoder\.pos_conv\.0\.", "transformer.pos_conv_embed."),
    (r"^encoder\.layer_norm\.", "transformer.layer_norm."),
    (
        r"^encoder\.layers\.0\.self_attn\.relative_attention_bias\.",
        "transformer.rel_attn_embed.",
    ),
    (r"^encoder\.layers\.", "transformer.layers."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".intermediate_dense."),
    (r"\.fc2\.", ".output_dense."),
)
UNUSED = re.compile(r"^(?:final_proj|label_embs_concat|project_q|quantizer)")
"""tensors of WavLM's pretraining"""


def split_wavlm(
    state: Mapping[str, Tensor], prefix: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split tensors into those of WavLM, whose prefix is removed, and the others.

    WavLM's get no weight normalization (`without_weight_norm`).
    """
    wavlm = {
        key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)
    }
    others = {key: tensor for key, tensor in state.items() if not key.startswith(prefix)}
    return without_weight_norm(wavlm, WEIGHT_NORM), others


def wavlm_tensors(wavlm: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """WavLM's tensors as timbral's, ``encoder.frontend.*`` and ``encoder.transformer.*``."""
    tensors = {}
    for key, tensor in wavlm.items():
        if not UNUSED.match(key):
            name = rename(key, NAMES)
            if name.endswith(".gru_rel_pos_const"):  # (1, heads, 1, 1)
                tensor = tensor.flatten()
            tensors[f"encoder.{name}"] = tensor.contiguous()
    return tensors


def wavlm_sizes(wavlm: Mapping[str, Tensor]) -> dict[str, Any]:
    """Sizes of `WavlmSizes`, read from the tensors; KeyError for a missing one.

    The largest distance of positions is in no tensor: it keeps WavLM's default.
    """
    convs = [
        wavlm[f"feature_extractor.conv_layers.{index}.0.weight"] for index in range(CONV_LAYERS)
    ]
    is_large = "feature_extractor.conv_layers.1.2.1.weight" in wavlm
    positions = wavlm[WEIGHT_NORM + "weight"]
    first = "encoder.layers.0."
    return {
        "hidden_size": len(wavlm["post_extract_proj.weight"]),
        "num_hidden_layers": count_layers(wavlm, LAYER),
        "num_attention_heads": wavlm[f"{first}self_attn.grep_a"].numel(),
        "intermediate_size": len(wavlm[f"{first}fc1.weight"]),
        "conv_dim": tuple(len(each) for each in convs),
        "conv_kernel": tuple(each.shape[2] for each in convs),
        "feat_extract_norm": "layer" if is_large else "group",
        "do_stable_layer_norm": is_large,
        "num_conv_pos_embeddings": positions.shape[2],
        "num_conv_pos_embedding_groups": len(positions) // positions.shape[1],
        "num_buckets": len(wavlm[f"{first}self_attn.relative_attention_bias.weight"]),
    }
