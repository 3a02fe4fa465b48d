"""WavLM with the ECAPA-TDNN of UniSpeech's speaker verification: ``wavlm_large_finetune.pth``."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    Format,
    only_tensors,
    rename,
)
from timbral.encoders.wavlm_ecapa import WavlmEcapaConfig
from timbral.errors import CheckpointError

__all__ = ["UNISPEECH"]

WAVLM = "feature_extract.model."
"""before the names of WavLM's own tensors"""
MARKS = (
    f"{WAVLM}encoder.layers.0.self_attn.grep_a",
    "feature_weight",
    "layer1.conv.weight",
    "layer2.Res2Conv1dReluBn.convs.0.weight",
    "pooling.linear1.weight",
)
WEIGHT_NORM = f"{WAVLM}encoder.pos_conv.0."
NAMES = (
    (r"^feature_extract\.model\.feature_extractor\.conv_layers\.(\d+)\.0\.", r"frontend.convs.\1."),
    (
        r"^feature_extract\.model\.feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?",
        r"frontend.norms.\1.",
    ),
    (r"^feature_extract\.model\.layer_norm\.", "transformer.input_norm."),
    (r"^feature_extract\.model\.post_extract_proj\.", "transformer.projection."),
    (r"^feature_extract\.model\.mask_emb$", "transformer.masked_spec_embed"),
    (r"^feature_extract\.model\.encoder\.pos_conv\.0\.", "transformer.pos_conv_embed."),
    (r"^feature_extract\.model\.encoder\.layer_norm\.", "transformer.layer_norm."),
    (
        r"^feature_extract\.model\.encoder\.layers\.0\.self_attn\.relative_attention_bias\.",
        "transformer.rel_attn_embed.",
    ),
    (r"^feature_extract\.model\.encoder\.layers\.", "transformer.layers."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".intermediate_dense."),
    (r"\.fc2\.", ".output_dense."),
    (r"^feature_weight$", "layer_sum.layer_weights"),
    (r"^layer1\.conv\.", "input.conv."),
    (r"^layer1\.bn\.", "input.norm."),
    (r"\.Conv1dReluBn1\.conv\.", ".tdnn1.conv."),
    (r"\.Conv1dReluBn1\.bn\.", ".tdnn1.norm."),
    (r"\.Conv1dReluBn2\.conv\.", ".tdnn2.conv."),
    (r"\.Conv1dReluBn2\.bn\.", ".tdnn2.norm."),
    (r"\.Res2Conv1dReluBn\.convs\.(\d+)\.", r".res2net_block.blocks.\1.conv."),
    (r"\.Res2Conv1dReluBn\.bns\.(\d+)\.", r".res2net_block.blocks.\1.norm."),
    (r"\.SE_Connect\.linear(\d)\.", r".se_block.conv\1."),
    (r"^conv\.", "mfa.conv."),
    (r"^pooling\.linear1\.", "asp.hidden."),
    (r"^pooling\.linear2\.", "asp.scores."),
    (r"^bn\.", "asp_bn."),
    (r"^linear\.", "fc."),
)
UNUSED = re.compile(
    r"^feature_extract\.model\.(?:final_proj|label_embs_concat|project_q|quantizer)"
)
"""of WavLM's pretraining"""
AS_MATRIX = re.compile(r"^asp\.(?:hidden|scores)\.weight$")
"""whose convolutions of kernel 1 are linear layers here"""


def convert(content: Content) -> ConvertedWeights:
    """Any size of WavLM with an ECAPA-TDNN on its weighted layers, no recording changed before.

    In a Res2Net block the last group of channels passes through, in ours the first one, so
    channels in front of it and behind it change places, as in WeSpeaker's.
    """
    state = _folded(only_tensors(content.values))
    try:
        config = _config(state)
    except KeyError as error:
        raise CheckpointError(
            f"these are not weights of UniSpeech's WavLM with ECAPA-TDNN: {error} is missing"
        ) from None
    moved = torch.arange(config.channels).roll(config.channels // config.res2net_scale)
    tensors = {}
    for key, tensor in state.items():
        if UNUSED.match(key):
            continue
        name = re.sub(r"^layer([234])\.", lambda match: f"blocks.{int(match[1]) - 2}.", key)
        name = rename(name, NAMES)
        if AS_MATRIX.match(name) and tensor.ndim == 3:
            tensor = tensor[:, :, 0]
        elif name.endswith(".gru_rel_pos_const"):  # (1, heads, 1, 1)
            tensor = tensor.flatten()
        elif ".tdnn1." in name and tensor.ndim:
            tensor = tensor[moved]
        elif name.endswith(".tdnn2.conv.weight"):
            tensor = tensor[:, moved]
        tensors[f"encoder.{name}"] = tensor.contiguous()
    return ConvertedWeights(config, tensors, content.step, Preprocessing(min_rms_dbfs=None))


def _folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weight normalization of the positional convolution (g v / |v|, one g a tap) multiplied out.

    torch has written its two halves under two pairs of names.
    """
    state = dict(state)
    for length, direction in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        if WEIGHT_NORM + length in state and WEIGHT_NORM + direction in state:
            g, v = state.pop(WEIGHT_NORM + length), state.pop(WEIGHT_NORM + direction)
            norm = torch.linalg.vector_norm(v, dim=(0, 1), keepdim=True)
            state[WEIGHT_NORM + "weight"] = g * v / norm
    return state


def _config(state: Mapping[str, Tensor]) -> WavlmEcapaConfig:
    """Sizes, read off the tensors; KeyError for one that is missing.

    How far apart positions may be, and that a large model's samples are normalized, is in no
    tensor: both are WavLM's.
    """
    layers = {match[1] for key in state if (match := re.match(LAYER, key))}
    first = f"{WAVLM}encoder.layers.0."
    convs = [
        state[f"{WAVLM}feature_extractor.conv_layers.{index}.0.weight"]
        for index in range(len(WavlmEcapaConfig.conv_stride))
    ]
    is_large = f"{WAVLM}feature_extractor.conv_layers.1.2.1.weight" in state
    positions = state[WEIGHT_NORM + "weight"]
    groups = sum(bool(re.match(r"layer2\.Res2Conv1dReluBn\.convs\.\d+\.weight", k)) for k in state)
    if any(re.match(r"layer[234]\.shortcut\.", key) for key in state):
        raise CheckpointError("UniSpeech's ECAPA-TDNN with blocks of different widths is not known")
    pooled = len(state["conv.weight"])
    if state["pooling.linear1.weight"].shape[1] != pooled:
        raise CheckpointError("UniSpeech's ECAPA-TDNN with global context is not known")
    return WavlmEcapaConfig(
        hidden_size=len(state[f"{WAVLM}post_extract_proj.weight"]),
        num_hidden_layers=len(layers),
        num_attention_heads=state[f"{first}self_attn.grep_a"].numel(),
        intermediate_size=len(state[f"{first}fc1.weight"]),
        conv_dim=tuple(len(each) for each in convs),
        conv_kernel=tuple(each.shape[2] for each in convs),
        feat_extract_norm="layer" if is_large else "group",
        do_stable_layer_norm=is_large,
        do_normalize=is_large,
        num_conv_pos_embeddings=positions.shape[2],
        num_conv_pos_embedding_groups=len(positions) // positions.shape[1],
        num_buckets=len(state[f"{first}self_attn.relative_attention_bias.weight"]),
        channels=len(state["layer1.conv.weight"]),
        pooled_channels=pooled,
        attention_channels=len(state["pooling.linear1.weight"]),
        se_channels=len(state["layer2.SE_Connect.linear1.weight"]),
        res2net_scale=groups + 1,
        embedding_dim=len(state["linear.weight"]),
    )


LAYER = r"feature_extract\.model\.encoder\.layers\.(\d+)\."
UNISPEECH = Format(
    "WavLM with ECAPA-TDNN of UniSpeech, wavlm_large_finetune.pth (SIM-o)", (MARKS,), convert
)
