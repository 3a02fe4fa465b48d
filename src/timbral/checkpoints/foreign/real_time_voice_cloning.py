"""The GE2E LSTM of Real-Time-Voice-Cloning: ``encoder.pt``."""

from __future__ import annotations

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, WeightsFormat
from timbral.checkpoints.foreign.lstm_tensors import TORCH_MARKS, torch_lstm_weights

__all__ = ["REAL_TIME_VOICE_CLONING"]

WINDOW_STEP = 80
"""frames between its windows, half of their 160"""


def convert(content: Content) -> ConvertedWeights:
    """Convert a file with the layout of Resemblyzer's, from which it differs only in windows."""
    return torch_lstm_weights(content, WINDOW_STEP)


REAL_TIME_VOICE_CLONING = WeightsFormat(
    "GE2E LSTM of Real-Time-Voice-Cloning, encoder.pt: the same file, windows half overlapping",
    (TORCH_MARKS,),
    convert,
    fits=lambda content: False,  # must be given as `format`: the file is like Resemblyzer's
)
