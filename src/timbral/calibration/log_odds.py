"""Convert probabilities to log odds, to which log-likelihood ratios are added, and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from timbral.io.types import Floats

__all__ = ["log_odds", "probability_of"]


def log_odds(probability: float) -> float:
    """The natural logarithm of p / (1 - p), for a probability in (0, 1)."""
    return math.log(probability) - math.log1p(-probability)


def probability_of(odds: Any) -> Floats:
    """The probability 1 / (1 + e^-x) of log odds x, of any shape, to 1e-16, without overflow.

    With prior 0.5, a log-likelihood ratio is the log odds.
    """
    return np.asarray(0.5 * (1.0 + np.tanh(np.asarray(odds) / 2)))
