"""Features as codes of 8 bits.

They are seen by one layer only, but by it alone: in CAM++ they would cost more, as one code each,
than all other codes together. So each is several codes, of steps so many times as large as that of
their sum: of four, the codes of x + 0, 1/4, 1/2 and 3/4 of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from timbral.inference.optimized.byte_products import Code, write_codes

__all__ = ["FeatureCodes", "code_of_features"]


def code_of_features(seen: Sequence[Tensor]) -> Code:
    """For features (F, M) such as were seen."""
    lows, highs = zip(*(features.aminmax() for features in seen), strict=True)
    return Code.of_range(float(min(lows)), float(max(highs)))


class FeatureCodes:
    """Features (F, M) -> codes (F, M, parts), of `code`."""

    def __init__(self, code: Code, parts: int) -> None:
        self.code, self._parts = code, parts
        self._offsets = torch.arange(parts) / parts - (parts - 1) / (2 * parts) + code.zero

    def __call__(self, features: Tensor) -> Tensor:
        numbers = features[:, :, None] / self.code.step + self._offsets
        return write_codes(numbers, torch.empty(numbers.shape, dtype=torch.uint8))

    def numbers(self, features: Tensor) -> Tensor:
        """What the codes stand for."""
        return (self(features).float() - self.code.zero) * self.code.step

    def spread(self, weight: Tensor) -> Tensor:
        """Weights (O, M, ...) for the codes: (O, M, parts, ...)."""
        spread = weight[:, :, None] / self._parts
        return spread.expand(-1, -1, self._parts, *weight.shape[2:])
