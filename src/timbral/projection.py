"""Voices on a plane: vectors (N, E) to points (N, 2), and a picture of them.

The distances in such a picture are for looking at, not for measuring.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.errors import ConfigError, DataError, MissingExtraError
from timbral.files import written_whole

__all__ = ["check_installed", "draw", "palette", "project"]

FEWEST_FOR_UMAP = 5  # fewer points have no neighbourhoods to keep: principal components then
MOST_NAMES = 60  # more names than this hide the points
ONE_LIGHTNESS = 8  # so many hues can be told apart without varying the lightness
LIGHTNESS = (0.62, 0.74, 0.50)
CHROMA = 0.15
MARKERS = ("o", "^", "s", "D", "v")
ONE_MARKER = 20  # so many colours can be told apart without varying the marker


def check_installed() -> None:
    """Raise MissingExtraError now rather than after a long computation."""
    if any(find_spec(name) is None for name in ("umap", "matplotlib", "plotly")):
        raise MissingExtraError("the voice map", "map")


def project(
    vectors: NDArray[np.float32], *, seed: int = 42, neighbours: int = 15
) -> NDArray[np.float32]:
    """Place vectors (N, E) on a plane by UMAP under the cosine metric: float32 (N, 2).

    The same vectors and seed give the same points. `neighbours` above N - 1 count as N - 1; fewer
    than 5 vectors are placed by principal components. Raises DataError when there is no vector or
    one is not finite, ConfigError when neighbours < 2, MissingExtraError without umap.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise DataError(f"vectors of shape (N, E), at least one, are needed; got {vectors.shape}")
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise DataError(f"vector {row} of {len(vectors)} holds NaN or infinite values")
    if neighbours < 2:
        raise ConfigError(f"neighbours must be 2 or more: {neighbours}")
    if len(vectors) < FEWEST_FOR_UMAP:
        return _principal_plane(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns of its seed, of tensorflow, of few points
        mapper = _umap().UMAP(
            n_components=2,
            metric="cosine",
            n_neighbors=min(neighbours, len(vectors) - 1),
            min_dist=0.4,  # room between the utterances of one voice, so that each can be clicked
            disconnection_distance=math.inf,  # opposite vectors would be placed at NaN otherwise
            random_state=seed,
            n_jobs=1,
        )
        return np.ascontiguousarray(mapper.fit_transform(vectors), dtype=np.float32)


def draw(
    points: NDArray[np.float32],
    speakers: Sequence[str],
    path: Path,
    *,
    title: str = "",
    names: Sequence[str] = (),
) -> None:
    """Write a PNG scatter of points (N, 2), one colour a speaker; `path` is replaced at once.

    Up to 60 speakers are named, each at the median of its points, and every point that has one
    of `names`. Raises DataError when points and
    speakers do not fit together or a point is not finite, MissingExtraError without matplotlib.
    """
    points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise DataError(f"points of shape (N, 2), at least one, are needed; got {points.shape}")
    if len(speakers) != len(points):
        raise DataError(f"{len(points)} points but {len(speakers)} speakers; one each is needed")
    if not np.isfinite(points).all():
        raise DataError("a point holds NaN or infinite values")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # boxes must do, then
        figure = _picture(points, [str(speaker) for speaker in speakers], title)
        for point, name in zip(points, names, strict=False):
            figure.axes[0].annotate(name, point, fontsize=5, alpha=0.8, parse_math=False)
        with written_whole(Path(path)) as temporary:
            figure.savefig(temporary, format="png", facecolor="white")


def palette(count: int) -> list[str]:
    """Return `count` colours as #rrggbb: even hues; neighbours in the list lie far apart.

    More than 8 colours differ in lightness as well. All can be seen on white and on near-black.
    """
    stride = max(1, round(count * 0.382))
    while math.gcd(stride, max(count, 1)) > 1:
        stride += 1
    slots = [index * stride % count for index in range(count)]
    levels = LIGHTNESS if count > ONE_LIGHTNESS else LIGHTNESS[:1]
    return [_colour(levels[slot % len(levels)], 0.4 + math.tau * slot / count) for slot in slots]


def _principal_plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = vectors.astype(np.float64)
    unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    left, scale, _ = np.linalg.svd(unit - unit.mean(axis=0), full_matrices=False)
    plane = (left * scale)[:, :2]
    strongest = plane[np.abs(plane).argmax(axis=0), np.arange(plane.shape[1])]
    plane = plane * np.where(strongest < 0, -1.0, 1.0)  # the sign is otherwise up to the solver
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))).astype(np.float32)


def _colour(lightness: float, hue: float) -> str:
    """Oklch to sRGB: equal lightness looks equally light, which HSL does not give."""
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


def _picture(points: NDArray[np.float32], speakers: Sequence[str], title: str) -> Any:
    figure, axes = _empty_figure(title)
    names = sorted(set(speakers))
    number = {name: index for index, name in enumerate(names)}
    owner = np.array([number[speaker] for speaker in speakers])
    colours = palette(len(names))
    size = float(np.clip(20_000 / len(points), 9, 90))
    for index, colour in enumerate(colours):
        marker = MARKERS[index % len(MARKERS)] if len(names) > ONE_MARKER else "o"
        x, y = points[owner == index].T
        axes.scatter(
            x, y, s=size, c=colour, marker=marker, linewidths=0.4, edgecolors="white", alpha=0.9
        )
    if len(names) <= MOST_NAMES:
        _write_names(axes, names, colours, points, owner)
    return figure


def _empty_figure(title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError:
        raise MissingExtraError("the voice map", "map") from None
    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15)
    figure = Figure(figsize=(10, 8), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)
    axes.set_facecolor("#f8f9fb")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title, fontsize=14, color="#20242c", pad=12, parse_math=False)
    return figure, axes


def _write_names(
    axes: Any,
    names: Sequence[str],
    colours: Sequence[str],
    points: NDArray[np.float32],
    owner: NDArray[Any],
) -> None:
    """Write each name beside its speaker's median, on the first side that is still free."""
    from matplotlib.colors import to_rgb
    from matplotlib.patheffects import withStroke

    axes.figure.draw_without_rendering()  # the layout must stand before text can be measured
    taken: list[Any] = []
    for index, name in enumerate(names):
        label = axes.annotate(
            name,
            np.median(points[owner == index], axis=0),
            (0, 0),
            textcoords="offset points",
            fontsize=9 if len(names) <= 25 else 7,
            color=tuple(0.6 * value for value in to_rgb(colours[index])),
            ha="center",
            va="center",
            weight="bold",
            parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )
        box = label.get_window_extent()
        aside = 72 * box.width / axes.figure.dpi / 2 + 8
        for offset in ((0, 12), (0, -12), (aside, 0), (-aside, 0), (0, 22), (0, -22)):
            label.set_position(offset)
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def _umap() -> Any:
    try:
        import umap
    except ImportError:
        raise MissingExtraError("the voice map", "map") from None
    return umap
