"""Is a recording speech at all? Logistic regression on the statistics of its windows."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from timbral.io.types import Vectors

__all__ = ["speech_logits", "speech_probability"]

WEIGHTS = Path(__file__).with_name("speech_weights.json")
"""made by recipes/quality/train_speech.py; what it was fitted on stands in it"""
BEST_FRACTION = 0.25
"""of the windows, those most like speech, whose mean tells: a recording may also hold pauses"""
SILENCE_DBFS = -75.0
"""windows that are nowhere louder hold no speech, whatever their shape: steps of 16-bit audio"""


def speech_logits(features: Vectors, levels: Vectors) -> Vectors:
    """Log odds (W,) that windows are speech, from their features (W, D) and peak levels (W,)."""
    weights, bias = _coefficients()
    logits = features @ weights + bias
    return np.asarray(np.where(levels > SILENCE_DBFS, logits, -20.0), dtype=np.float32)


def speech_probability(logits: Vectors) -> float:
    """That a recording holds speech, from its windows' log odds (W,)."""
    best = np.sort(logits)[-max(1, round(BEST_FRACTION * logits.size)) :]
    return float(1 / (1 + np.exp(-np.clip(best.mean(), -30, 30))))


@lru_cache(maxsize=1)
def _coefficients() -> tuple[Vectors, float]:
    table = json.loads(WEIGHTS.read_text("utf-8"))
    return np.array(table["weights"], np.float32), float(table["bias"])
