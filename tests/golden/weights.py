"""Random weights that any machine makes alike, for originals whose own are too large to keep."""

import zlib
from collections.abc import Mapping

import numpy as np


def fill(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """An array for each tensor, drawn from its name; variances are positive, scales near one."""
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items()}


def _draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = rng.standard_normal(shape, np.float32)
    if name.endswith(("running_var", "original0", "gru_rel_pos_const")):
        return 0.5 + np.abs(values)
    if len(shape) == 1:
        return 0.1 * values + (1.0 if name.endswith("weight") else 0.0)
    return values * np.sqrt(2.0 / np.prod(shape[1:])).astype(np.float32)
