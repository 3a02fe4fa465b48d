"""Values over the time of a recording, with a band, as PNG."""

from __future__ import annotations

from pathlib import Path

from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.io.types import Floats
from timbral.plots.scatter import SOFTWARE

__all__ = ["draw_values_over_time"]

BAND_COLOR, VALUE_COLOR = "#1b7f5c", "#2b5fb8"


def draw_values_over_time(
    path: Path, seconds: Floats, values: Floats, band: tuple[float, float] | None, title: str
) -> None:
    """Write cosines (N,) at times (N,), and the band in which those of one speaker lie.

    Raises MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("a plot over time", "map") from None
    figure = Figure(figsize=(9, 3.6), dpi=150, layout=ConstrainedLayoutEngine())
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if band is not None:
        axes.axhspan(*band, color=BAND_COLOR, alpha=0.18, label="95 % of one speaker's windows")
        axes.legend(frameon=False, loc="lower left")
    axes.plot(seconds, values, color=VALUE_COLOR, marker=".", linewidth=1.2)
    axes.set_xlabel("seconds")
    axes.set_ylabel("cosine")
    axes.set_title(title, fontsize=11, parse_math=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white", metadata={"Software": SOFTWARE})
