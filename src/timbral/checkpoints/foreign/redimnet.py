"""ReDimNet and ReDimNet2, ``b5-vox2-ft_lm.pt`` and the like.

Sizes are read from the tensors. Other settings are in the file's ``model_config``: hop,
normalization of waves, and the order in which the last map's numbers are pooled.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    check_marks,
    count_layers,
    only_tensors,
    rename,
)
from timbral.checkpoints.foreign.redimnet_settings import KEY, Settings, read_settings
from timbral.checkpoints.foreign.wespeaker_classifier import CLASSIFIER
from timbral.encoders.redimnet.log_mels import mel_filters, mel_window
from timbral.encoders.redimnet.redimnet_config import RedimnetConfig
from timbral.errors import CheckpointError

__all__ = ["MARKS", "REDIMNET", "WESPEAKER_FRONT_END", "converted", "is_wespeakers"]

MARKS = (
    "backbone.fin_wght1d.w",
    "backbone.stem.0.weight",
    "pool.linear1.weight",
    "pool.linear2.weight",
    "linear.weight",
)
FRONT_END = "spec."
UNUSED = re.compile(r"^(?:spec|cls_head)\.")
WESPEAKER_FRONT_END = "frontend."
"""prefix of WeSpeaker's front-end"""
LARGEST_DIFFERENCE = 2e-3
"""largest difference between filters or windows computed in float32 and in float64"""

NAMES = (
    (r"^backbone\.stem\.0\.", "stem."),
    (r"^backbone\.stem\.1\.", "stem_norm."),
    (r"^backbone\.stem_gnorm\.", "map_norm."),
    (r"^backbone\.fin_wght1d\.w$", "sum.weights"),
    (r"^backbone\.head\.", "head.product."),
    (r"^pool\.linear1\.", "pooling.hidden."),
    (r"^pool\.linear2\.", "pooling.scores."),
    (r"^bn\.", "pooling_norm."),
    (r"^backbone\.stage(\d+)_1d\.", r"stages.\1.context."),
    (r"^backbone\.stage(\d+)_up_1d\.1\.", r"stages.\1.norm."),
    (r"^backbone\.stage(\d+)_up_2d\.1\.", r"stages.\1.plain_norm."),
    (r"^backbone\.stage(\d+)(?:_pre)?\.", r"stages.\1."),
    (r"^stages\.(\d+)\.0\.w$", r"stages.\1.sum.weights"),
    (r"^stages\.(\d+)\.2\.", r"stages.\1.conv."),
    (r"^stages\.(\d+)\.\d+\.(red_dim_conv|tcm|exp_dim_conv)\.", r"stages.\1.context.\2."),
    (r"^stages\.(\d+)\.\d+\.(weight|bias)$", r"stages.\1.norm.\2"),
    (r"\.conv(\d)pw\.", r".product\1."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.se\.exitation\.", ".excitation.excite."),
    (r"\.se\.", ".excitation."),
    (r"\.dwconvs\.0\.", ".conv."),
    (r"\.pwconv1\.", ".product."),
    (r"\.red_dim_conv\.0\.", ".reduction."),
    (r"\.red_dim_conv\.1\.", ".reduction_norm."),
    (r"\.exp_dim_conv\.", ".expansion."),
    (r"\.tcm\.", ".layers."),
    (r"\.layer_norm\.", ".attention_norm."),
    (r"\.feed_forward\.intermediate_dense\.", ".hidden."),
    (r"\.feed_forward\.output_dense\.", ".output."),
    (r"\.final_layer_norm\.", ".norm."),
)
SQUEEZE = {1: {"0": "conv", "1": "norm", "3": "product"}, 2: {"0": "product", "1": "norm"}}
"""the layers after a stage's blocks, by version"""
PRODUCTS = re.compile(r"\.(?:product\d?|reduction|expansion|hidden|scores)\.weight$")
"""convolutions of kernel 1 that are linear layers here"""


def convert(content: Content) -> ConvertedWeights:
    """Convert any size of either; tensors of the pooling are put in timbral's order of maps."""
    state = only_tensors(content.values)
    check_marks(state, MARKS, "ReDimNet")
    return converted(state, read_settings(content.whole), content.step)


def converted(state: Mapping[str, Tensor], settings: Settings, step: int = 0) -> ConvertedWeights:
    """Convert tensors with the authors' names."""
    config = _config(state, settings)
    _check_front_end(state, config)
    order = _pooled_order(state, settings, config)
    tensors = {}
    for key, tensor in state.items():
        if UNUSED.match(key):
            continue
        name = rename(_block_name(key, config.version), NAMES)
        if name.endswith("sum.weights"):
            tensor = tensor.flatten(2)[0]
            if len(tensor) == 1:
                continue  # the softmax over a single map is 1
        elif PRODUCTS.search(name):
            tensor = tensor.flatten(1)
        tensors[f"encoder.{name}"] = _reordered(name, tensor, order).contiguous()
    return ConvertedWeights(config, tensors, step, Preprocessing(min_rms_dbfs=None))


def _block_name(key: str, version: int) -> str:
    """Name blocks and the layers after them, which are numbered within a stage."""
    block = re.match(r"^(backbone\.stage\d+(?:_pre)?\.)(\d+)\.conv_block\.(.*)$", key)
    if block:
        return f"{block[1]}blocks.{int(block[2]) - 3}.{block[3]}"
    squeeze = re.match(r"^(backbone\.stage\d+(?:_pre)?\.)\d+\.(\d)\.(.*)$", key)
    if squeeze and squeeze[2] in SQUEEZE[version]:
        return f"{squeeze[1]}squeeze.{SQUEEZE[version][squeeze[2]]}.{squeeze[3]}"
    return key


def _config(state: Mapping[str, Tensor], settings: Settings) -> RedimnetConfig:
    channels = len(state["backbone.stem.0.weight"])
    size = state["backbone.fin_wght1d.w"].shape[2]
    num_stages = count_layers(state, r"backbone\.stage(\d+)(?:_pre)?\.2\.")
    stages = [_stage(state, index) for index in range(num_stages)]
    strides = [1, *(stage["frame_stride"] for stage in stages)]
    fit = all(strides) and all(b % a == 0 for a, b in itertools.pairwise(strides))
    if not channels or not stages or not fit:
        raise CheckpointError(
            "these are not weights of ReDimNet: the sizes of its stages do not match"
        )
    head = state.get("backbone.head.weight")
    hidden = state["pool.linear1.weight"]
    pooled = len(state["pool.linear2.weight"])
    blocks = {name.rpartition("conv_block.")[2] for name in state}
    block = "convnext" if "dwconvs.0.weight" in blocks else "resnet"
    return RedimnetConfig(
        version=settings.version,
        mels=size // channels,
        channels=channels,
        mel_strides=tuple(stage["mel_stride"] for stage in stages),
        frame_strides=tuple(b // a for a, b in itertools.pairwise(strides)),
        blocks=tuple(stage["blocks"] for stage in stages),
        widths=tuple(stage["width"] for stage in stages),
        context_channels=tuple(stage["context"] for stage in stages),
        block="resnet-fwse" if "se.squeeze.weight" in blocks else block,
        group_divisor=settings.group_divisor,
        context="att" if any(name.endswith("tcm.0.conv.weight") for name in state) else "conv+att",
        map_norm="backbone.stem_gnorm.weight" in state,
        dual=any(name.startswith("backbone.stage") and "_pre." in name for name in state),
        head_channels=0 if head is None else len(head),
        head_per_mel=head is not None and head.ndim == 4,
        attention_channels=len(hidden),
        global_context=hidden.shape[1] == 3 * pooled,
        pooling_norm="bn.weight" in state,
        features=settings.features,
        hop_samples=settings.hop_samples,
        normalize_waves=settings.normalize_waves,
        embedding_dim=len(state["linear.weight"]),
    )


def _stage(state: Mapping[str, Tensor], index: int) -> dict[str, int]:
    """Sizes of a stage, from the shapes of its tensors."""
    before = rf"backbone\.stage{index}(?:_pre|_1d)?\."
    inside = {key: tensor for key, tensor in state.items() if re.match(before, key)}
    convs = [inside[key] for key in inside if re.fullmatch(rf"{before}2\.weight", key)]
    if len(convs) != 1:
        raise CheckpointError(f"stage {index} of this ReDimNet has no convolution")
    context = [
        len(tensor) for key, tensor in inside.items() if key.endswith("red_dim_conv.0.weight")
    ]
    width, _, mel_stride, frame_stride = convs[0].shape
    return {
        "width": width,
        "mel_stride": mel_stride,
        "frame_stride": frame_stride,
        "context": context[0] if context else 0,
        "blocks": count_layers(inside, rf"{before}(\d+)\.conv_block\."),
    }


def _check_front_end(state: Mapping[str, Tensor], config: RedimnetConfig) -> None:
    """Raise CheckpointError if the file's window and filters differ from those of its settings."""
    own = {
        "spectrogram.window": mel_window("torchaudio"),
        "mel_scale.fb": mel_filters("torchaudio", config.mels),
    }
    if config.features == "tf":
        own = {
            "real_kernel_pt": mel_window("tf"),
            "melbanks_pt": mel_filters("tf", config.mels).T,
        }
    for key, tensor in state.items():
        name = key.rpartition("torchfbank.2.")[2]
        if not key.startswith(FRONT_END) or name not in own:
            continue
        if name == "real_kernel_pt":  # at frequency 0 the wave is 1 everywhere
            tensor = tensor[0, 0]
        expected = own.pop(name)
        same = tensor.numel() == expected.numel() and torch.allclose(
            tensor.float().reshape(expected.shape), expected, rtol=0, atol=LARGEST_DIFFERENCE
        )
        if not same:
            raise CheckpointError(
                f"the features of this ReDimNet are of an unknown kind: {key} is not known"
            )
    if own and any(key.startswith(FRONT_END) for key in state):
        raise CheckpointError(
            f"model_config says that the features of this ReDimNet are {config.features!r}, but "
            f"the file does not contain {', '.join(own)}"
        )


def _pooled_order(
    state: Mapping[str, Tensor], settings: Settings, config: RedimnetConfig
) -> Tensor | None:
    """Positions in the original of the numbers of a frame of the last map, in timbral's order.

    The original may pool them mel by mel within each channel; timbral's order is channel by channel
    within each mel. None: the same order.
    """
    if not (config.head_per_mel if config.head_channels else settings.pools_channels_first):
        return None
    mels = config.mels // math.prod(config.mel_strides)
    return torch.arange(len(state["pool.linear2.weight"])).view(-1, mels).T.flatten()


def _reordered(name: str, tensor: Tensor, order: Tensor | None) -> Tensor:
    if order is None:
        return tensor
    if name in ("pooling.hidden.weight", "linear.weight"):
        return tensor.reshape(len(tensor), -1, len(order))[:, :, order].flatten(1)
    if name.startswith("pooling.scores."):
        return tensor[order]
    if name.startswith("pooling_norm.") and tensor.ndim:
        return tensor.reshape(-1, len(order))[:, order].flatten()
    return tensor


def is_wespeakers(content: Content) -> bool:
    """Whether WeSpeaker's classifier or front-end is next to the tensors of a ReDimNet2."""
    return any(str(name).startswith((CLASSIFIER, WESPEAKER_FRONT_END)) for name in content.values)


REDIMNET = WeightsFormat(
    "ReDimNet and ReDimNet2 of ID R&D and Palabra, b0-vox2-ft_lm.pt … b6-vox2-lm.pt",
    (MARKS,),
    convert,
    lambda content: KEY in content.whole or not is_wespeakers(content),
)
