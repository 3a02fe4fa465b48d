"""Distinguishable colors, from the color space Oklch (Ottosson, 2020)."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["palette"]

HUES_PER_LIGHTNESS = 8
"""more cannot be distinguished at one lightness"""
LIGHTNESSES = (0.62, 0.74, 0.50)
CHROMA = 0.15


def palette(count: int) -> list[str]:
    """`count` colors as #rrggbb, of evenly spaced hues, very different ones next to each other.

    More than 8 colors also differ in lightness. All are visible on white and on near-black.
    """
    stride = max(1, round(count * 0.382))
    while math.gcd(stride, max(count, 1)) > 1:
        stride += 1
    slots = [index * stride % count for index in range(count)]
    levels = LIGHTNESSES if count > HUES_PER_LIGHTNESS else LIGHTNESSES[:1]
    return [_color(levels[slot % len(levels)], 0.4 + math.tau * slot / count) for slot in slots]


def _color(lightness: float, hue: float) -> str:
    """Convert Oklch to sRGB. Unlike in HSL, colors of equal lightness look equally light."""
    a, b = CHROMA * math.cos(hue), CHROMA * math.sin(hue)
    to_cones = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ (to_cones @ np.array([lightness, a, b])) ** 3, 0.0, 1.0)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(float(value) * 255):02x}" for value in srgb)
