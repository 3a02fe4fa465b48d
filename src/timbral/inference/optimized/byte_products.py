"""Products and convolutions in 8 bits: codes (u8) times fixed weights (s8).

Weights have a step for each output, and are rounded as in `byte_rounding`. Sums are exact: only
inputs and weights are rounded.

The operators are torch's own for compiled graphs. They are not public, so everything here is used
only if `CAN_MULTIPLY_BYTES` says that this build and this processor have them: without VNNI,
oneDNN adds two products in 16 bits, which clips large sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from timbral.inference.optimized.byte_rounding import RoundedWeights
from timbral.inference.optimized.products import CAN_FUSE

__all__ = [
    "CAN_MULTIPLY_BYTES",
    "LARGEST_CODE",
    "ROUNDING",
    "ByteConvolution",
    "ByteProduct",
    "Code",
    "write_codes",
    "write_rounded",
]

LARGEST_CODE = 255
HEADROOM = 1.3
"""factor by which other recordings may exceed the range seen"""
ROUNDING = 2.0**23
"""added to a float32 of 0 or more, rounds it to a whole number, which its lowest bits then hold"""


def _can_multiply_bytes() -> bool:
    operators = ("qlinear_pointwise", "qlinear_prepack", "qconv2d_pointwise", "qconv_prepack")
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    return (
        CAN_FUSE
        and all(hasattr(torch.ops.onednn, name) for name in operators)
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and bool(has_vnni())
    )


CAN_MULTIPLY_BYTES = _can_multiply_bytes()


def write_codes(numbers: Tensor, codes: Tensor) -> Tensor:
    """Round numbers (float32, any size, overwritten) to `codes` (u8), limited to 0 … 255."""
    return write_rounded(numbers.add_(ROUNDING), codes)


def write_rounded(numbers: Tensor, codes: Tensor) -> Tensor:
    """Like `write_codes`, for numbers to which `ROUNDING` was added, so that they are whole."""
    numbers.clamp_(ROUNDING, ROUNDING + LARGEST_CODE)
    # two passes over memory; torch rounds float32 to u8 one number at a time
    return codes.copy_(numbers.view(torch.int32))


@dataclass(frozen=True)
class Code:
    """What codes stand for: code `zero` for the number 0, and each further code for `step` more."""

    step: float
    zero: int = 0

    @classmethod
    def of_range(cls, low: float, high: float) -> Code:
        """The code for numbers from `low` to `high`, zero included, with some headroom."""
        low, high = HEADROOM * min(low, 0.0), HEADROOM * max(high, 0.0)
        if not 0 < high - low < math.inf:
            return cls(1.0)
        step = (high - low) / LARGEST_CODE
        return cls(step, round(-low / step))


class ByteProduct:
    """Codes (N, K) times a matrix (O, K), plus a bias: (N, O)."""

    def __init__(self, rounded: RoundedWeights, code: Code) -> None:
        """`code` is the code of the inputs."""
        packed = torch.ops.onednn.qlinear_prepack(rounded.whole, None)
        zeros = torch.zeros(len(rounded.whole), dtype=torch.int8)
        self._weights = (packed, rounded.steps, zeros)
        self._bias, self._code = rounded.bias, code
        self._multiply = torch.ops.onednn.qlinear_pointwise.default
        """a single overload, because choosing among several takes 3 µs per call"""

    def __call__(self, codes: Tensor, relu: bool = False, code: Code | None = None) -> Tensor:
        """The outputs in float32, or as codes of `code`."""
        product: Tensor = self._multiply(
            codes,
            self._code.step,
            self._code.zero,
            *self._weights,
            self._bias,
            *_output(code),
            "relu" if relu else "none",
            [],
            "",
        )
        return product


class ByteConvolution:
    """A convolution of codes (H, W, C): (H', W', C'), with zeros beside W and nothing beside H."""

    def __init__(
        self,
        rounded: RoundedWeights,
        size: tuple[int, int],
        code: Code,
        *,
        strides: tuple[int, int] = (1, 1),
        padding: int = 1,
        dilation: int = 1,
    ) -> None:
        """`rounded` are weights (C', C × H × W) of `size` (H, W), `code` is the code of the inputs;
        `padding` and `dilation` apply to W."""
        weight = rounded.whole.view(len(rounded.whole), -1, *size)
        self._where = (list(strides), [0, padding], [1, dilation], 1)
        packed = torch.ops.onednn.qconv_prepack(
            weight.contiguous(memory_format=torch.channels_last),
            rounded.steps,
            code.step,
            code.zero,
            *self._where,
        )
        self._weights = (packed, rounded.steps, torch.zeros(len(weight), dtype=torch.int8))
        self._bias, self._code = rounded.bias, code
        self._convolve = torch.ops.onednn.qconv2d_pointwise.default

    def __call__(self, codes: Tensor, relu: bool = False, code: Code | None = None) -> Tensor:
        """The outputs in float32, or as codes of `code`."""
        outputs: Tensor = self._convolve(
            _image(codes),
            self._code.step,
            self._code.zero,
            *self._weights,
            self._bias,
            *self._where,
            *_output(code),
            "relu" if relu else "none",
            [],
            None,
        )
        return outputs.permute(0, 2, 3, 1)[0]

    def add_to(self, added: Tensor, added_code: Code, codes: Tensor, code: Code) -> Tensor:
        """The ReLU of the convolution plus `added` (H', W', C'), as codes of `code`.

        The result overwrites `added`.
        """
        outputs: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            _image(codes),
            self._code.step,
            self._code.zero,
            *self._weights,
            _image(added),
            self._bias,
            *self._where,
            *_output(code),
            added_code.step,
            added_code.zero,
            "sum",
            1.0,
            "relu",
            [],
            None,
        )
        return outputs.permute(0, 2, 3, 1)[0]


def _image(codes: Tensor) -> Tensor:
    """(H, W, C) as (1, C, H, W), without moving anything."""
    return codes[None].permute(0, 3, 1, 2)


def _output(code: Code | None) -> tuple[float, int, torch.dtype]:
    if code is None:
        return 1.0, 0, torch.float32
    return code.step, code.zero, torch.uint8
