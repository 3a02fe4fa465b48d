"""Tensors of GE2E LSTMs, which Resemblyzer, Real-Time-Voice-Cloning and PaddleSpeech share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    count_layers,
    only_tensors,
    requiring_tensors_of,
)
from timbral.encoders.lstm import LstmConfig

__all__ = [
    "PREPROCESSING",
    "TORCH_MARKS",
    "has_paddle_linear",
    "has_torch_linear",
    "lstm_config",
    "named_tensors",
    "torch_lstm_weights",
]

PREPROCESSING = Preprocessing(trim="webrtc", min_rms_dbfs=-30.0)
"""preprocessing of all three"""
TORCH_MARKS = ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "linear.weight", "linear.bias")
"""tensors of the LSTM by torch's names, which Paddle has, too"""
PADDLE_KEY = "StructuredToParameterName@@"
"""a key that only `paddle.save` writes"""


def lstm_config(state: Mapping[str, Tensor], **others: Any) -> LstmConfig:
    """Sizes, read from the tensors, and `others`; CheckpointError if a tensor is missing."""
    with requiring_tensors_of("a GE2E LSTM"):
        return LstmConfig(
            num_layers=count_layers(state, r"lstm\.weight_ih_l(\d+)$"),
            hidden_size=state["lstm.weight_hh_l0"].shape[1],
            embedding_dim=len(state["linear.bias"]),
            n_mels=state["lstm.weight_ih_l0"].shape[1],
            **others,
        )


def named_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as ``encoder.*``, and those of the similarity as ``loss.*``."""
    return {
        f"{'loss' if name.startswith('similarity_') else 'encoder'}.{name}": tensor
        for name, tensor in state.items()
    }


def has_torch_linear(content: Content) -> bool:
    """Whether linear.weight can be torch's, (E, H): one of Paddle is (H, E)."""
    return _layouts(content) >= {"torch"}


def has_paddle_linear(content: Content) -> bool:
    """Whether linear.weight can be Paddle's, (H, E)."""
    return _layouts(content) >= {"paddle"}


def _layouts(content: Content) -> set[str]:
    """Which layouts linear.weight can have: by its shape or, if it is square, by its writer.

    A square one in a pickle of arrays without Paddle's own keys can have either.
    """
    names = [*map(str, content.values), *content.other_keys]
    if any(".cell." in name or name.startswith(PADDLE_KEY) for name in names):
        return {"paddle"}
    weight, bias = (content.values.get(f"linear.{name}") for name in ("weight", "bias"))
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor) or weight.ndim != 2:
        return {"torch", "paddle"}
    outputs = bias.numel()
    if weight.shape[0] != weight.shape[1]:
        return {"torch"} if weight.shape[0] == outputs else {"paddle"}
    return {"torch", "paddle"} if content.container == "arrays" else {"torch"}


def torch_lstm_weights(content: Content, window_step: int) -> ConvertedWeights:
    """Resemblyzer's ``pretrained.pt`` and Real-Time-Voice-Cloning's ``encoder.pt``, one layout."""
    state = only_tensors(content.values)
    config = lstm_config(state, window_step=window_step)
    return ConvertedWeights(config, named_tensors(state), content.step, PREPROCESSING)
