"""The GE2E LSTM of Resemblyzer: ``pretrained.pt``."""

from __future__ import annotations

from timbral.checkpoints.foreign.base import Content, ConvertedWeights, WeightsFormat
from timbral.checkpoints.foreign.lstm_tensors import (
    TORCH_MARKS,
    has_torch_linear,
    torch_lstm_weights,
)

__all__ = ["RESEMBLYZER"]

WINDOW_STEP = 77
"""frames between its windows: 1.3 windows a second"""


def convert(content: Content) -> ConvertedWeights:
    """Convert a file with the layout of Real-Time-Voice-Cloning's, but Resemblyzer's windows."""
    return torch_lstm_weights(content, WINDOW_STEP)


RESEMBLYZER = WeightsFormat(
    "GE2E LSTM of Resemblyzer, pretrained.pt", (TORCH_MARKS,), convert, has_torch_linear
)
