"""Tensors of GE2E LSTMs, which Resemblyzer, Real-Time-Voice-Cloning and PaddleSpeech share."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import Content, ConvertedWeights, only_tensors
from timbral.encoders.lstm import LstmConfig
from timbral.errors import CheckpointError

__all__ = [
    "PREPROCESSING",
    "holds_torch_lstm",
    "lstm_config",
    "named_tensors",
    "torch_lstm_weights",
]

PREPROCESSING = Preprocessing(trim="webrtc", min_rms_dbfs=-30.0)
"""what all three do to audio"""


def lstm_config(state: Mapping[str, Tensor], **windows: int) -> LstmConfig:
    """Sizes, read off the tensors; CheckpointError when one is missing."""
    try:
        return LstmConfig(
            num_layers=sum(bool(re.fullmatch(r"lstm\.weight_ih_l\d+", key)) for key in state),
            hidden_size=state["lstm.weight_hh_l0"].shape[1],
            embedding_dim=len(state["linear.bias"]),
            n_mels=state["lstm.weight_ih_l0"].shape[1],
            **windows,
        )
    except KeyError as error:
        raise CheckpointError(f"these are not weights of a GE2E LSTM: {error} is missing") from None


def named_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as ``encoder.*``, and those of the similarity as ``loss.*``."""
    return {
        f"{'loss' if name.startswith('similarity_') else 'encoder'}.{name}": tensor
        for name, tensor in state.items()
    }


def holds_torch_lstm(content: Content) -> bool:
    """A dict with `model_state`, in it an LSTM."""
    state = content.values.get("model_state")
    return isinstance(state, Mapping) and "lstm.weight_ih_l0" in state


def torch_lstm_weights(content: Content, window_step: int) -> ConvertedWeights:
    """Resemblyzer's ``pretrained.pt`` and Real-Time-Voice-Cloning's ``encoder.pt``, one layout."""
    step = content.values.get("step")
    if not isinstance(step, int) or "model_state" not in content.values:
        raise CheckpointError(
            "these are not weights of Resemblyzer or Real-Time-Voice-Cloning, which hold `step` "
            "and `model_state`"
        )
    state = only_tensors(content.values["model_state"])
    config = lstm_config(state, window_step=window_step)
    return ConvertedWeights(config, named_tensors(state), step, PREPROCESSING)
