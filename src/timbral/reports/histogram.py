"""Histograms with round edges, and their bar charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["bar_chart", "histogram", "short_number"]

BINS = 12
MOST_ROUND_BINS = 15
DIGIT_WIDTH = 9
"""the largest width of a digit on a narrow screen, where a chart has a width of 600"""
WIDEST_BAR = 100


def histogram(values: ArrayLike) -> tuple[list[int], list[float]]:
    """Counts (B,) and edges (B + 1,) of bins of equal width; the last also has the highest 1 %.

    Edges are round numbers. For whole numbers they are whole, and there are no more bins than
    numbers.
    """
    data = np.asarray(values)
    if not data.size:
        return [0], [0.0, 0.0]
    low, high = data.min(), np.quantile(data, 0.99)
    if data.dtype.kind in "iu":
        first, last = int(low), math.ceil(high)
        width = -(-(last - first + 1) // BINS)
        edges = np.arange(first, last + width + 1, width)
    elif high - low > 1e-6 * abs(high):
        step = _round_step((high - low) / (MOST_ROUND_BINS - 1))
        edges = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    else:
        return [data.size], [float(low), float(data.max())]
    counts, _ = np.histogram(np.clip(data, edges[0], edges[-1]), edges)
    return counts.tolist(), [*edges[:-1].tolist(), float(data.max())]


def _round_step(least: float) -> float:
    """The lowest of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)


def short_number(value: float, digits: int = 4) -> str:
    """A number with at most so many significant digits; whole numbers keep all of theirs."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.{digits}g}"


def bar_chart(counts: Sequence[int], edges: Sequence[float]) -> str:
    """A bar chart as SVG, with counts, and as many edges of bins as fit."""
    width, height = min(600 / len(counts), WIDEST_BAR), 120
    ticks = [*(short_number(edge) for edge in edges[:-1]), short_number(edges[-1], 3)]
    longest = DIGIT_WIDTH * (max(map(len, ticks)) + 1)
    step = max(1, math.ceil(longest / width))
    top = max(*counts, 1)
    shapes = []
    for index, count in enumerate(counts):
        bar = height * count / top
        x, y = index * width, 16 + height - bar
        shapes.append(
            f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{bar:.1f}"/>'
            f'<text x="{x + width / 2:.1f}" y="{y - 3:.1f}" text-anchor="middle">{count:,}</text>'
        )
        before_last = (len(counts) - index) * width - longest
        if index % step == 0 and (index == 0 or before_last >= longest):
            shapes.append(f'<text x="{x:.1f}" y="{height + 32}">{ticks[index]}</text>')
    end = width * len(counts)
    anchor = "end" if len(counts) > 1 else "start"
    last = f'<text x="{end:.1f}" y="{height + 32}" text-anchor="{anchor}">{ticks[-1]}</text>'
    last = "" if ticks[-1] == ticks[-2] else last
    return f'<svg viewBox="0 0 610 {height + 40}" role="img">{"".join(shapes)}{last}</svg>'
