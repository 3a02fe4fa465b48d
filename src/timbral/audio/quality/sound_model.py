"""Is a window speech, and if not, is it music? Two logistic regressions on its statistics."""

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
"""made by recipes/quality/train_sounds.py; what it was fitted on stands in it"""
BEST_FRACTION = 0.25
"""of the windows, those most like speech, whose mean tells: a recording may also hold pauses"""
SILENCE_DBFS = -75.0
"""windows that are nowhere louder hold no speech, whatever their shape: steps of 16-bit audio"""
NEAR_LOUDEST_DB = 30.0
"""windows within this of the loudest count for music: the others are its pauses"""
IMPOSSIBLE = -20.0


@dataclass(frozen=True)
class Sounds:
    """What the windows of a recording are."""

    speech: Vectors
    """(W,) log odds of speech"""
    music: Vectors
    """(W,) log odds of music or tones, rather than noise, were it no speech"""
    levels: Vectors
    """(W,) dBFS at the loudest frame"""

    @property
    def speech_probability(self) -> float:
        """That the recording holds speech."""
        best = np.sort(self.speech)[-max(1, round(BEST_FRACTION * self.speech.size)) :]
        return float(1 / (1 + np.exp(-np.clip(best.mean(), -30, 30))))

    @property
    def music_fraction(self) -> float:
        """Of the louder windows, those that are music or tones rather than speech."""
        loud = self.levels >= max(self.levels.max() - NEAR_LOUDEST_DB, SILENCE_DBFS)
        music = (self.speech < 0) & (self.music > 0)
        return float(music[loud].mean()) if loud.any() else 0.0


def classify(features: Vectors, levels: Vectors) -> Sounds:
    """From the windows' features (W, D) and levels (W,)."""
    table = _table()
    speech = np.where(levels > SILENCE_DBFS, _logits(features, table["speech"]), IMPOSSIBLE)
    return Sounds(speech, _logits(features, table["music"]), levels)


def _logits(features: Vectors, model: Mapping[str, Any]) -> Vectors:
    return np.asarray(features @ np.array(model["weights"], np.float32) + np.float32(model["bias"]))


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(WEIGHTS.read_text("utf-8"))
    return table
