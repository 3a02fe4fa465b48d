"""The GE2E LSTM of PaddleSpeech: ``step-N.pdparams``."""

from __future__ import annotations

import torch
from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    only_tensors,
    rename,
)
from timbral.checkpoints.foreign.lstm_tensors import (
    PREPROCESSING,
    TORCH_MARKS,
    has_paddle_linear,
    lstm_config,
    named_tensors,
)
from timbral.errors import CheckpointError

__all__ = ["PADDLESPEECH"]

LSTM_ALIAS = ((r"^lstm\.(\d+)\.cell\.(\w+)$", r"lstm.\2_l\1"),)
"""Paddle gives each tensor of an LSTM two names: from the first one to the second"""
CELL_MARKS = ("lstm.0.cell.weight_ih", "lstm.0.cell.weight_hh", "linear.weight", "linear.bias")


def convert(content: Content) -> ConvertedWeights:
    """Convert the LSTM: gates are in torch's order, and only linear.weight is transposed."""
    state = {
        rename(name, LSTM_ALIAS): _as_numbers(name, tensor)
        for name, tensor in only_tensors(content.values).items()
    }
    config = lstm_config(state)
    if "linear.weight" in state:
        state["linear.weight"] = state["linear.weight"].t().contiguous()
    return ConvertedWeights(config, named_tensors(state), preprocessing=PREPROCESSING)


def _as_numbers(name: str, tensor: Tensor) -> Tensor:
    """Floating-point numbers; Paddle stores bfloat16 as the uint16 that has its bits."""
    if tensor.dtype == torch.uint16:
        return tensor.view(torch.bfloat16).float()
    if not tensor.is_floating_point():
        raise CheckpointError(f"{name} contains {tensor.dtype}; weights are floating-point numbers")
    return tensor


PADDLESPEECH = WeightsFormat(
    "GE2E LSTM of PaddleSpeech, step-N.pdparams",
    (TORCH_MARKS, CELL_MARKS),
    convert,
    has_paddle_linear,
)
