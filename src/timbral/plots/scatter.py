"""A scatter plot of points on a plane, one color per speaker."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from timbral.errors import DataError
from timbral.io.types import Ints, Vectors
from timbral.plots.fonts import TextFonts, fonts_for
from timbral.plots.palette import palette
from timbral.plots.png_figure import new_figure, save_png

__all__ = ["draw_scatter"]

MAX_NAMES = 60
"""more names hide the points"""
LONGEST_NAME = 24
"""characters of a name; longer ones are cut"""
MARKERS = ("o", "^", "s", "D", "v")
COLORS_PER_MARKER = 20
"""more colors cannot be distinguished with one marker"""


def draw_scatter(
    points: Vectors,
    speakers: Sequence[str],
    path: Path,
    *,
    title: str = "",
    names: Sequence[str] = (),
) -> str:
    r"""Write a scatter plot of points (N, 2) as PNG; `path` is replaced at once.

    Text is written in installed fonts that have its characters; those that no font has are
    returned, and written as escapes, such as ``\u4e2d``.

    Args:
        points: (N, 2)
        speakers: the speaker of each point (N,), one color per speaker. The names of up to 60
            speakers are written at the medians of their points
        path: the file
        title: the text above the plot
        names: a label for each point (N,); none: points are not labeled

    Raises DataError if points and speakers differ in number or a point is not finite,
    MissingExtraError without matplotlib.
    """
    points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise DataError(f"at least one point, of shape (N, 2), is needed; got {points.shape}")
    if len(speakers) != len(points):
        raise DataError(f"{len(points)} points but {len(speakers)} speakers; each point needs one")
    if not np.isfinite(points).all():
        raise DataError("a point contains NaN or infinite values")
    speakers = [str(speaker) for speaker in speakers]
    written = set(speakers) if len(set(speakers)) <= MAX_NAMES else set()
    new_figure("plotting embeddings", (1, 1))  # matplotlib is needed before its fonts
    fonts = fonts_for([title, *written, *names])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # in bold
        figure = _plot(points, speakers, title, fonts)
        for point, name in zip(points, names, strict=False):
            figure.axes[0].annotate(
                fonts.shown(name), point, fontsize=5, alpha=0.8, parse_math=False,
                family=fonts.families,
            )  # fmt: skip
        save_png(figure, Path(path))
    return fonts.missing


def _plot(points: Vectors, speakers: Sequence[str], title: str, fonts: TextFonts) -> Any:
    figure, axes = _empty_figure(title, fonts)
    names = sorted(set(speakers))
    index_of = {name: index for index, name in enumerate(names)}
    speaker_of_point = np.array([index_of[speaker] for speaker in speakers])
    colors = palette(len(names))
    size = float(np.clip(20_000 / len(points), 9, 90))
    for index, color in enumerate(colors):
        marker = MARKERS[index % len(MARKERS)] if len(names) > COLORS_PER_MARKER else "o"
        x, y = points[speaker_of_point == index].T
        axes.scatter(
            x, y, s=size, c=color, marker=marker, linewidths=0.4, edgecolors="white", alpha=0.9
        )
    if len(names) <= MAX_NAMES:
        _write_names(axes, names, colors, points, speaker_of_point, fonts)
    return figure


def _empty_figure(title: str, fonts: TextFonts) -> tuple[Any, Any]:
    """An empty figure, and its axes without ticks and frame."""
    figure = new_figure("plotting embeddings", (10, 8), padding=0.15)
    axes = figure.add_subplot()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)
    axes.set_facecolor("#f8f9fb")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(
            fonts.shown(title), fontsize=14, color="#20242c", pad=12, parse_math=False,
            family=fonts.families,
        )  # fmt: skip
    return figure, axes


def _write_names(
    axes: Any,
    names: Sequence[str],
    colors: Sequence[str],
    points: Vectors,
    speaker_of_point: Ints,
    fonts: TextFonts,
) -> None:
    """Write each name inside of the plot, on the first side of its speaker's median that is free of
    other names.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patheffects import withStroke

    axes.figure.draw_without_rendering()  # text can be measured only after the layout
    frame = axes.get_window_extent()
    boxes: list[Any] = []
    for index, name in enumerate(map(fonts.shown, names)):
        label = axes.annotate(
            name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…",
            np.median(points[speaker_of_point == index], axis=0),
            (0, 0),
            textcoords="offset points",
            fontsize=9 if len(names) <= 25 else 7,
            color=tuple(0.6 * value for value in to_rgb(colors[index])),
            ha="center",
            va="center",
            weight=fonts.boldest,
            family=fonts.families,
            parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )
        box = label.get_window_extent()
        sideways = 72 * box.width / axes.figure.dpi / 2 + 8
        for offset in ((0, 12), (0, -12), (sideways, 0), (-sideways, 0), (0, 22), (0, -22)):
            label.set_position(offset)
            box = label.get_window_extent()
            inward = max(frame.x0 - box.x0, 0.0) + min(frame.x1 - box.x1, 0.0)  # pixels
            if inward:
                label.set_position((offset[0] + 72 * inward / axes.figure.dpi, offset[1]))
                box = label.get_window_extent()
            if not any(box.overlaps(other) for other in boxes):
                break
        boxes.append(box)
