"""Plots of an evaluation as PNG: DET curve, histograms of scores, and their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from textwrap import fill
from typing import Any

from timbral.io.types import Floats
from timbral.plots.fonts import fonts_for
from timbral.plots.png_figure import hide_spines, new_figure, save_png

__all__ = ["draw_calibration", "draw_det", "draw_scores"]

TARGET, OTHER = "#1b7f5c", "#b4472e"
TITLE_WIDTH = 60
"""characters, so that a line fits above the plot"""


def draw_det(
    path: Path, false_alarm: Floats, miss: Floats, eer: float, ticks: Sequence[float], title: str
) -> None:
    """Write a DET curve on probit axes.

    Args:
        path: the file, replaced at once
        false_alarm: rates (K,) between the first and the last of `ticks`
        miss: the miss rates (K,) at the same thresholds
        eer: the equal error rate, marked on the curve if it is on the axes
        ticks: rates labeled on the axes, rising, in (0, 1)
        title: the text above the plot

    Raises MissingExtraError without matplotlib.
    """
    figure, axes = _figure(title)
    to_probit = NormalDist().inv_cdf
    curve = [[to_probit(float(rate)) for rate in rates] for rates in (false_alarm, miss)]
    axes.plot(*curve, color=TARGET, linewidth=2)
    is_inside = ticks[0] <= eer <= ticks[-1]
    label = f"EER {100 * eer:.2f} %{'' if is_inside else ', not on these axes'}"
    point = [to_probit(eer)] if is_inside else []
    axes.plot(point, point, "o" if is_inside else " ", color="#20242c", label=label)
    positions = [to_probit(tick) for tick in ticks]
    for axis, name in ((axes.xaxis, "false alarms, %"), (axes.yaxis, "misses, %")):
        axis.set_ticks(positions, [f"{100 * tick:g}" for tick in ticks])
        axis.set_label_text(name)
    axes.set_xlim(positions[0], positions[-1])
    axes.set_ylim(positions[0], positions[-1])
    axes.set_aspect("equal")
    axes.grid(color="#d5d5d8", linewidth=0.6)
    axes.legend(frameon=False)
    save_png(figure, path)


def draw_scores(
    path: Path, edges: Floats, targets: Floats, nontargets: Floats, threshold: float, title: str
) -> None:
    """Write the histograms of target and non-target scores, scaled to equal height.

    `edges` (B + 1,) of the bins; `targets` and `nontargets` (B,) numbers of trials; `threshold` is
    drawn as a line. Otherwise like `draw_det`.
    """
    figure, axes = _figure(title)
    for counts, color, name in (
        (targets, TARGET, "target trials"),
        (nontargets, OTHER, "non-target trials"),
    ):
        axes.stairs(counts / max(counts.max(), 1), edges, color=color, linewidth=2, label=name)
    axes.axvline(threshold, color="#20242c", linestyle="--", label="threshold at the EER")
    axes.set_xlabel("score")
    axes.set_yticks([])
    axes.legend(frameon=False)
    save_png(figure, path)


def draw_calibration(
    path: Path, edges: Floats, steps: Floats, scores: Floats, logistic: Floats, title: str
) -> None:
    """Write the probability of the same speaker against the score, as steps and as a curve.

    `steps` (K,) are probabilities between `edges` (K + 1,); `logistic` are those of a logistic
    curve at `scores` (M,), or empty. Otherwise like `draw_det`.
    """
    figure, axes = _figure(title)
    axes.stairs(steps, edges, baseline=None, color=TARGET, linewidth=2, label="these trials")
    if len(logistic):
        axes.plot(scores, logistic, color="#20242c", linestyle="--", label="logistic curve")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("score")
    axes.set_ylabel("probability of the same speaker (prior 0.5)")
    axes.grid(color="#d5d5d8", linewidth=0.6)
    axes.legend(frameon=False)
    save_png(figure, path)


def _figure(title: str) -> tuple[Any, Any]:
    """An empty figure with a title, and its axes."""
    figure = new_figure("plots of an evaluation", (6, 6))
    axes = figure.add_subplot()
    fonts = fonts_for([title])
    lines = fill(fonts.shown(title), TITLE_WIDTH)
    axes.set_title(lines, fontsize=11, parse_math=False, family=fonts.families)
    hide_spines(axes)
    return figure, axes
