"""A plot of cosines over the time of a recording, as PNG."""

from __future__ import annotations

from pathlib import Path

from timbral.io.types import Floats
from timbral.plots.fonts import fonts_for
from timbral.plots.png_figure import hide_spines, new_figure, save_png

__all__ = ["draw_values_over_time"]

BAND_COLOR, VALUE_COLOR = "#1b7f5c", "#2b5fb8"


def draw_values_over_time(
    path: Path, seconds: Floats, values: Floats, band: tuple[float, float] | None, title: str
) -> None:
    """Write a plot of cosines (N,) at times (N,).

    Args:
        path: the file, replaced at once
        seconds: the times (N,)
        values: the cosines (N,)
        band: lowest and highest cosine of 95 % of one speaker's windows; None: unknown
        title: the text above the plot

    Raises MissingExtraError without matplotlib.
    """
    figure = new_figure("a plot over time", (9, 3.6))
    axes = figure.add_subplot()
    if band is not None:
        axes.axhspan(*band, color=BAND_COLOR, alpha=0.18, label="95 % of one speaker's windows")
        axes.legend(frameon=False, loc="lower left")
    axes.plot(seconds, values, color=VALUE_COLOR, marker=".", linewidth=1.2)
    axes.set_xlabel("seconds")
    axes.set_ylabel("cosine")
    fonts = fonts_for([title])
    axes.set_title(fonts.shown(title), fontsize=11, parse_math=False, family=fonts.families)
    hide_spines(axes)
    save_png(figure, path)
