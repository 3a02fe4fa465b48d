"""The voice encoder of chatterbox: ``ve.safetensors``."""

from __future__ import annotations

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import Content, ConvertedWeights, WeightsFormat, only_tensors
from timbral.checkpoints.foreign.lstm_tensors import lstm_config, named_tensors

__all__ = ["CHATTERBOX"]

MARKS = ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "proj.weight", "proj.bias")
WINDOW_STEP = 77
"""frames between its windows: 1.3 windows a second"""
MIN_COVERAGE = 127 / 160
"""128 of 160 frames must be complete, and the last of them may begin at the last sample"""
PREPROCESSING = Preprocessing(trim="quiet-ends", min_rms_dbfs=None)


def convert(content: Content) -> ConvertedWeights:
    """Resemblyzer's network; its mels are mirrored at both ends, and zero after the last frame."""
    state = {
        name.replace("proj.", "linear.", 1) if name.startswith("proj.") else name: tensor
        for name, tensor in only_tensors(content.values).items()
    }
    config = lstm_config(
        state,
        window_step=WINDOW_STEP,
        window_min_coverage=MIN_COVERAGE,
        mel_edges="mirrored",
    )
    return ConvertedWeights(config, named_tensors(state), content.step, PREPROCESSING)


CHATTERBOX = WeightsFormat("GE2E LSTM of chatterbox, ve.safetensors", (MARKS,), convert)
