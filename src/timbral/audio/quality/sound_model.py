"""Classify windows as speech, music or noise: two logistic regressions on their statistics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from timbral.io.types import Vectors

__all__ = ["Sounds", "classify"]

WEIGHTS = Path(__file__).with_name("sound_weights.json")
"""written by recipes/quality/train_sounds.py, with a description of its training data"""
BEST_FRACTION = 0.25
"""fraction of windows, those most like speech, whose mean decides, as a recording may also contain
pauses"""
SILENCE_DBFS = -75.0
"""windows without a louder frame contain no speech, whatever their features: steps of 16-bit audio
"""
NEAR_LOUDEST_DB = 30.0
"""windows within this many dB of the loudest are checked for music: the others are pauses"""
IMPOSSIBLE = -20.0


@dataclass(frozen=True)
class Sounds:
    """Log odds of the kinds of sound in a recording's windows."""

    speech: Vectors
    """(W,) log odds of speech"""
    music: Vectors
    """(W,) log odds of music or tones against noise, for windows without speech"""
    levels: Vectors
    """(W,) dBFS of the loudest frame"""

    @property
    def speech_probability(self) -> float:
        """Probability that the recording contains speech."""
        best = np.sort(self.speech)[-max(1, round(BEST_FRACTION * self.speech.size)) :]
        return float(1 / (1 + np.exp(-np.clip(best.mean(), -30, 30))))

    @property
    def music_fraction(self) -> float:
        """Fraction of the louder windows that are music or tones rather than speech."""
        loud = self.levels >= max(self.levels.max() - NEAR_LOUDEST_DB, SILENCE_DBFS)
        music = (self.speech < 0) & (self.music > 0)
        return float(music[loud].mean()) if loud.any() else 0.0


def classify(features: Vectors, levels: Vectors) -> Sounds:
    """Classify windows by their features (W, D) and levels (W,) in dBFS."""
    table = _table()
    speech = np.where(levels > SILENCE_DBFS, _logits(features, table["speech"]), IMPOSSIBLE)
    return Sounds(speech, _logits(features, table["music"]), levels)


def _logits(features: Vectors, model: Mapping[str, Any]) -> Vectors:
    return np.asarray(features @ np.array(model["weights"], np.float32) + np.float32(model["bias"]))


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(WEIGHTS.read_text("utf-8"))
    return table
