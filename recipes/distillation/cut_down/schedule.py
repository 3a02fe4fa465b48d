"""The learning rate: a linear rise, then a fall with time like half a period of a cosine."""

from __future__ import annotations

import math

__all__ = ["learning_rate"]


def learning_rate(rate: float, least: float, fraction: float, step: int, warm_steps: int) -> float:
    """The rate of a step (from 0), after a fraction of the time; at the end `least` is left."""
    falling = least + (1 - least) * 0.5 * (1 + math.cos(math.pi * fraction))
    return rate * falling * min(1.0, (step + 1) / warm_steps)
