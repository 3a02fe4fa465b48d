"""Plots of an evaluation as PNG: the DET curve, the scores, and what these are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from textwrap import fill
from typing import Any

from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.io.types import Floats
from timbral.plots.scatter import SOFTWARE

__all__ = ["draw_calibration", "draw_det", "draw_scores"]

TARGET, OTHER = "#1b7f5c", "#b4472e"
TITLE_WIDTH = 60
"""characters, so that a line fits above the plot"""


def draw_det(
    path: Path, false_alarm: Floats, miss: Floats, eer: float, ticks: Sequence[float], title: str
) -> None:
    """Write a DET curve on probit axes.

    Args:
        path: a file, replaced at once
        false_alarm: rates (K,) between the first and the last of `ticks`
        miss: rates (K,), too
        eer: the equal error rate, a point on the curve
        ticks: rates that the axes name, rising, in (0, 1)
        title: above the plot

    Raises MissingExtraError without matplotlib.
    """
    figure, axes = _figure(title)
    to_probit = NormalDist().inv_cdf
    curve = [[to_probit(float(rate)) for rate in rates] for rates in (false_alarm, miss)]
    axes.plot(*curve, color=TARGET, linewidth=2)
    inside = to_probit(min(max(eer, ticks[0]), ticks[-1]))
    axes.plot([inside], [inside], "o", color="#20242c", label=f"EER {100 * eer:.2f} %")
    places = [to_probit(tick) for tick in ticks]
    for axis, name in ((axes.xaxis, "false alarms, %"), (axes.yaxis, "misses, %")):
        axis.set_ticks(places, [f"{100 * tick:g}" for tick in ticks])
        axis.set_label_text(name)
    axes.set_xlim(places[0], places[-1])
    axes.set_ylim(places[0], places[-1])
    axes.set_aspect("equal")
    axes.grid(color="#d5d5d8", linewidth=0.6)
    axes.legend(frameon=False)
    _save(figure, path)


def draw_scores(
    path: Path, edges: Floats, targets: Floats, nontargets: Floats, threshold: float, title: str
) -> None:
    """Write two histograms of scores, each as high as the other, and the threshold.

    `edges` (B + 1,); `targets` and `nontargets` (B,) trials in each bin. Otherwise as `draw_det`.
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
    _save(figure, path)


def draw_calibration(
    path: Path, edges: Floats, steps: Floats, scores: Floats, logistic: Floats, title: str
) -> None:
    """Write the probability of the same speaker over the score, as steps and as a curve.

    `steps` (K,) lie between `edges` (K + 1,); `logistic` are probabilities at `scores` (M,), or
    empty. Otherwise as `draw_det`.
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
    _save(figure, path)


def _figure(title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("plots of an evaluation", "map") from None
    figure = Figure(figsize=(6, 6), dpi=150, layout=ConstrainedLayoutEngine())
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(fill(title, TITLE_WIDTH), fontsize=11, parse_math=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white", metadata={"Software": SOFTWARE})
