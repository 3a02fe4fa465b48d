"""Figures of matplotlib, and how they are written as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timbral.errors import MissingExtraError
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind

__all__ = ["PLOT", "hide_spines", "new_figure", "save_png"]

SOFTWARE = "timbral"
PLOT = FileKind("a plot that timbral drew", signature=b"Software\0" + SOFTWARE.encode())


def new_figure(purpose: str, size: tuple[float, float], padding: float | None = None) -> Any:
    """An empty figure, without pyplot and its global state.

    Args:
        purpose: what is drawn, for the error
        size: width and height in inches, at 150 dpi
        padding: around the axes, in inches; None: matplotlib's default

    Raises MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError(purpose, "map") from None
    layout = ConstrainedLayoutEngine(w_pad=padding, h_pad=padding)
    figure = Figure(figsize=size, dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def hide_spines(axes: Any) -> None:
    """Hide the lines above and to the right of a plot."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save_png(figure: Any, path: Path) -> None:
    """Write a figure as PNG; `path` is replaced at once."""
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", facecolor="white", metadata={"Software": SOFTWARE})
