"""The GE2E LSTM of Resemblyzer: ``pretrained.pt``."""

from __future__ import annotations

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, Format
from timbral.checkpoints.foreign.lstm_tensors import holds_torch_lstm, torch_lstm_weights

__all__ = ["RESEMBLYZER"]

WINDOW_STEP = 77
"""frames between its windows: 1.3 windows a second"""


def convert(content: Content) -> ConvertedWeights:
    """The file's layout is Real-Time-Voice-Cloning's; the windows are Resemblyzer's."""
    return torch_lstm_weights(content, WINDOW_STEP)


RESEMBLYZER = Format("GE2E LSTM of Resemblyzer, pretrained.pt", holds_torch_lstm, convert)
