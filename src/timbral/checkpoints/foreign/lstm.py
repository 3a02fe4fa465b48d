"""GE2E LSTMs: Resemblyzer, Real-Time-Voice-Cloning and PaddleSpeech (PaddleSpeech)."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import Format, Weights, only_tensors, rename
from timbral.encoders.lstm import LstmConfig
from timbral.errors import CheckpointError

__all__ = ["PADDLE", "REAL_TIME_VOICE_CLONING", "RESEMBLYZER"]

RESEMBLYZER_STEP = 77
"""frames between its windows: 1.3 windows a second"""
TRIMMED = Preprocessing(trim="webrtc", min_rms_dbfs=-30.0)


def _config(state: dict[str, Tensor], **windows: int) -> LstmConfig:
    """Sizes, read off the tensors."""
    try:
        hidden = state["lstm.weight_hh_l0"].shape[1]
        return LstmConfig(
            num_layers=sum(bool(re.fullmatch(r"lstm\.weight_ih_l\d+", key)) for key in state),
            hidden_size=hidden,
            embedding_size=len(state["linear.bias"]),
            n_mels=state["lstm.weight_ih_l0"].shape[1],
            **windows,
        )
    except KeyError as error:
        raise CheckpointError(f"these are not weights of a GE2E LSTM: {error} is missing") from None


def _named(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{'loss' if name.startswith('similarity_') else 'encoder'}.{name}": tensor
        for name, tensor in state.items()
    }


def is_torch_lstm(content: Any) -> bool:
    """A dict of `step` and `model_state`, the latter with an LSTM."""
    state = content.get("model_state") if isinstance(content, dict) else None
    return isinstance(state, dict) and "lstm.weight_ih_l0" in state


def from_torch(content: Any, window_step: int) -> Weights:
    """Resemblyzer's ``pretrained.pt`` and Real-Time-Voice-Cloning's ``encoder.pt``."""
    if not isinstance(content, dict) or not {"step", "model_state"} <= set(content):
        raise CheckpointError(
            "these are not weights of Resemblyzer or Real-Time-Voice-Cloning, which hold `step` "
            "and `model_state`"
        )
    state = only_tensors(content["model_state"])
    config = _config(state, window_step=window_step)
    return Weights(config, _named(state), int(content["step"]), TRIMMED)


PADDLE_ALIAS = ((r"^lstm\.(\d+)\.cell\.(\w+)$", r"lstm.\2_l\1"),)
"""one of the two names that Paddle gives to each tensor of an LSTM, and the other"""


def _paddle_state(content: Any) -> dict[str, Tensor]:
    return {rename(key, PADDLE_ALIAS): value for key, value in only_tensors(content).items()}


def is_paddle(content: Any) -> bool:
    """A flat dict whose LSTM stands under either of Paddle's names."""
    return isinstance(content, dict) and "lstm.weight_ih_l0" in _paddle_state(content)


def from_paddle(content: Any) -> Weights:
    """PaddleSpeech's ``step-N.pdparams``: gates as in torch; only linear.weight is transposed."""
    state = _paddle_state(content)
    config = _config(state)
    state["linear.weight"] = state["linear.weight"].T.contiguous()
    return Weights(config, _named(state), preprocessing=TRIMMED)


RESEMBLYZER = Format(
    "GE2E LSTM of Resemblyzer, pretrained.pt",
    is_torch_lstm,
    lambda content: from_torch(content, RESEMBLYZER_STEP),
)
REAL_TIME_VOICE_CLONING = Format(
    "GE2E LSTM of Real-Time-Voice-Cloning, encoder.pt: the same file, windows half overlapping",
    is_torch_lstm,
    lambda content: from_torch(content, 80),
)
PADDLE = Format("GE2E LSTM of PaddleSpeech, step-N.pdparams", is_paddle, from_paddle)
