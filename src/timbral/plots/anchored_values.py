"""Box plots of groups of cosines between two anchors: a row per group, a panel per encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.io.types import Floats
from timbral.plots.fonts import fonts_for
from timbral.plots.png_figure import hide_spines, new_figure, save_png

__all__ = ["AnchoredValues", "draw_anchored_values"]

UPPER_COLOR, LOWER_COLOR, GROUP_COLOR = "#1b7f5c", "#b4472e", "#2b5fb8"


@dataclass(frozen=True)
class AnchoredValues:
    """The values in one panel of the plot."""

    title: str
    groups: Mapping[str, Floats]
    """cosines (N,) of each group"""
    same: Floats
    """(N,) cosines of the upper anchor, the same speaker; NaN: none"""
    other: Floats
    """(N,) cosines of the lower anchor, the nearest other speaker; NaN: none"""


def draw_anchored_values(path: Path, panels: Sequence[AnchoredValues]) -> None:
    """Write the box plots of all panels, next to each other, as PNG.

    Raises MissingExtraError without matplotlib.
    """
    rows = max(len(panel.groups) for panel in panels) + 2
    figure = new_figure("a plot of clones", (5.2 * len(panels), 1.2 + 0.5 * rows))
    fonts = fonts_for(name for panel in panels for name in (panel.title, *panel.groups))
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        shown = {"same speaker": panel.same, **panel.groups, "nearest other speaker": panel.other}
        shown = {name: values[~np.isnan(values)] for name, values in shown.items()}
        shown = {name: values for name, values in shown.items() if values.size}
        boxes = axes.boxplot(
            list(shown.values())[::-1], orientation="horizontal", widths=0.6, patch_artist=True,
            whis=(2.5, 97.5), flierprops={"marker": ".", "markersize": 3},
            medianprops={"color": "#1d1d1f"},
        )  # fmt: skip
        for box, name in zip(boxes["boxes"], list(shown)[::-1], strict=True):
            color = {"same speaker": UPPER_COLOR, "nearest other speaker": LOWER_COLOR}.get(
                name, GROUP_COLOR
            )
            box.set(facecolor=color, alpha=0.55, edgecolor=color)
        names = [fonts.shown(name) for name in reversed(shown)]
        axes.set_yticks(range(1, len(shown) + 1), names, family=fonts.families)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        title = fonts.shown(panel.title)
        axes.set_title(title, fontsize=11, parse_math=False, family=fonts.families)
        axes.set_xlabel("cosine to the reference")
        hide_spines(axes)
    save_png(figure, path)
