"""Features as codes of 8 bits, several for each.

Everything that an encoder computes depends on them: in CAM++ a single code per feature would cause
a larger error than all other codes together. So a feature x is several codes, whose sum has finer
steps: with four, they are the codes of x, x + 1/4, x + 1/2 and x + 3/4 of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from timbral.inference.optimized.byte_products import LARGEST_CODE, ROUNDING, Code

__all__ = ["FeatureCodes", "code_of_features"]

WHOLE_BITS = 22
"""lowest bits of a float32 of `ROUNDING` or more that hold its whole number"""


def code_of_features(seen: Sequence[Tensor]) -> Code:
    """The code for features with the range of those seen, (F, M) each."""
    lows, highs = zip(*(features.aminmax() for features in seen), strict=True)
    return Code.of_range(float(min(lows)), float(max(highs)))


class FeatureCodes:
    """Features (F, M) -> codes (F, M, parts), each with the step of `code`."""

    def __init__(self, code: Code, parts: int) -> None:
        """`parts` is 2 or 4."""
        self.code, self._parts = code, parts
        self._shift = parts.bit_length() - 1
        self._together = {2: torch.int16, 4: torch.int32}[parts]
        # numbers of as many bytes as a feature has codes, the first code lowest
        self._ones = sum(256**k for k in range(parts))
        self._counted = sum(k * 256**k for k in range(parts))

    def __call__(self, features: Tensor) -> Tensor:
        # Code k is (sum + k) // parts, where the sum of a feature's codes is the feature in steps
        # of code.step / parts. So all of them are computed as one number, in few passes.
        parts, (frames, size) = self._parts, features.shape
        zero = parts * self.code.zero + ROUNDING
        sums = torch.mul(features, parts / self.code.step).add_(zero)
        sums = sums.clamp_(ROUNDING, ROUNDING + parts * LARGEST_CODE).view(torch.int32)
        sums = sums.bitwise_and_(2**WHOLE_BITS - 1)
        more = sums.bitwise_and(parts - 1).mul_(self._ones).add_(self._counted)
        more.bitwise_right_shift_(self._shift).bitwise_and_(self._ones)
        codes = sums.bitwise_right_shift_(self._shift).mul_(self._ones).add_(more)
        return codes.to(self._together).view(torch.uint8).view(frames, size, parts)

    def numbers(self, features: Tensor) -> Tensor:
        """The numbers that the codes stand for (F, M, parts)."""
        return (self(features).float() - self.code.zero) * self.code.step

    def spread(self, weight: Tensor) -> Tensor:
        """Weights (O, M, ...) for the codes: (O, M, parts, ...)."""
        spread = weight[:, :, None] / self._parts
        return spread.expand(-1, -1, self._parts, *weight.shape[2:])
