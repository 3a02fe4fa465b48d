"""The GE2E LSTM of Real-Time-Voice-Cloning: ``encoder.pt``."""

from __future__ import annotations

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, Format
from timbral.checkpoints.foreign.lstm_tensors import TORCH_MARKS, torch_lstm_weights

__all__ = ["REAL_TIME_VOICE_CLONING"]

WINDOW_STEP = 80
"""frames between its windows, half of their 160"""


def convert(content: Content) -> ConvertedWeights:
    """The same file as Resemblyzer's; nothing in it tells them apart, but the windows differ."""
    return torch_lstm_weights(content, WINDOW_STEP)


REAL_TIME_VOICE_CLONING = Format(
    "GE2E LSTM of Real-Time-Voice-Cloning, encoder.pt: the same file, windows half overlapping",
    (TORCH_MARKS,),
    convert,
    fits=lambda content: False,  # unless it is named: nothing in it tells it from Resemblyzer's
)
