"""Names of types that many modules use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Ints", "Progress", "StepProgress", "Vectors"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
"""embeddings (N, E), or one (E,)"""

Progress = Callable[[int, int], None]
"""called with the amount done and the total"""

StepProgress = Callable[[int, Mapping[str, float]], None]
"""called with a training step and its numbers, which may be empty"""
