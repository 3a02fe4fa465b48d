"""Values of several groups between two anchors, as PNG: a row a group, a panel an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.io.types import Floats
from timbral.plots.scatter import SOFTWARE

__all__ = ["AnchoredValues", "draw_anchored_values"]

UPPER_COLOR, LOWER_COLOR, GROUP_COLOR = "#1b7f5c", "#b4472e", "#2b5fb8"


@dataclass(frozen=True)
class AnchoredValues:
    """A panel of the plot."""

    title: str
    groups: Mapping[str, Floats]
    """values (N,) of each group"""
    same: Floats
    """the upper anchor's values; NaN where there is none"""
    other: Floats
    """the lower anchor's"""


def draw_anchored_values(path: Path, panels: Sequence[AnchoredValues]) -> None:
    """Write box plots of each group between those of the anchors, one panel beside the other.

    Raises MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("a plot of clones", "map") from None
    rows = max(len(panel.groups) for panel in panels) + 2
    figure = Figure(
        figsize=(5.2 * len(panels), 1.2 + 0.5 * rows), dpi=150, layout=ConstrainedLayoutEngine()
    )
    FigureCanvasAgg(figure)
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
        axes.set_yticks(range(1, len(shown) + 1), list(shown)[::-1])
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_title(panel.title, fontsize=11, parse_math=False)
        axes.set_xlabel("cosine to the reference")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white", metadata={"Software": SOFTWARE})
