"""Vectors on a plane, and the plot of them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from timbral.errors import ConfigError, DataError, MissingExtraError
from timbral.plots import projection, scatter
from timbral.plots.palette import palette
from timbral.plots.projection import project
from timbral.plots.scatter import draw_scatter

PNG = b"\x89PNG\r\n\x1a\n"


def two_speakers(each: int = 10) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(scale=0.05, size=(2 * each, 8))
    return (np.repeat(np.eye(2, 8), each, axis=0) + noise).astype(np.float32)


@pytest.mark.parametrize("method", ["t-SNE", "UMAP"])
def test_speakers_are_apart_and_points_deterministic(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one test, since the first call of UMAP compiles for many seconds
    if method == "UMAP":
        monkeypatch.setattr(projection, "MIN_FOR_UMAP", 5)
    vectors = two_speakers()
    state = np.random.get_state()[1].tolist()  # type: ignore[index]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        points = project(vectors)
    assert caught == []
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]
    assert points.shape == (20, 2)
    assert points.dtype == np.float32
    first, second = points[:10], points[10:]
    apart = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert apart > max(first.std(), second.std())

    np.testing.assert_array_equal(project(vectors), points)
    np.testing.assert_array_equal(project(vectors * 4), points)  # cosine: length says nothing
    assert not np.array_equal(project(vectors, seed=1), points)

    assert project(vectors[:5], neighbors=500).shape == (5, 2)
    outlier = np.ones((10, 3), dtype=np.float32)
    outlier[0] = -1  # opposite to all the others
    assert np.isfinite(project(outlier)).all()
    assert np.isfinite(project(np.zeros((6, 3), dtype=np.float32))).all()


def test_few_points_compile_nothing() -> None:
    code = (
        "import sys, numpy as np; from timbral.plots.projection import project; "
        "project(np.random.default_rng(0).normal(size=(20, 8))); print('numba' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout.decode().strip() == "False"


def test_copies_lie_side_by_side() -> None:
    points = project(np.repeat(two_speakers(), 2, axis=0))
    gaps = np.linalg.norm(points[0::2] - points[1::2], axis=1)
    assert (gaps > 1e-4 * np.ptp(points)).all()
    assert gaps.max() < 0.1 * np.ptp(points)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_few_vectors_are_placed_without_umap(
    count: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    vectors = np.random.default_rng(3).normal(size=(count, width)).astype(np.float32)
    points = project(vectors)
    assert points.shape == (count, 2)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(project(vectors), points)


def test_principal_plane_keeps_the_distances_of_two_directions() -> None:
    np.testing.assert_array_equal(project(np.ones((1, 4), dtype=np.float32)), [[0.0, 0.0]])
    points = project(np.array([[7, 0], [0, 2]], dtype=np.float32))
    np.testing.assert_allclose(np.abs(points), [[0.5**0.5, 0], [0.5**0.5, 0]], atol=1e-6)
    assert points[0, 0] == pytest.approx(-points[1, 0])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (4,)])
def test_vectors_of_a_wrong_shape_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        project(np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_an_error(bad: float) -> None:
    vectors = np.ones((6, 4), dtype=np.float32)
    vectors[2, 1] = bad
    with pytest.raises(DataError, match="vector 2 of 6"):
        project(vectors)


def test_too_few_neighbors_is_an_error() -> None:
    with pytest.raises(ConfigError, match="neighbors"):
        project(two_speakers(), neighbors=1)


def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, each in (("sklearn.manifold", 10), ("umap", 150)):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtraError, match=r"plotting embeddings needs .*\[map\]"):
                project(two_speakers(each))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"\[map\]"):
        draw_scatter(np.zeros((1, 2), dtype=np.float32), ["a"], tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


def test_draw_writes_one_png_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "map.png"
    points = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_scatter(points, ["a", "b", "$x", "b", "声", "_"], path, title="50 $ a $^ title")
    first = path.read_bytes()
    assert first.startswith(PNG)
    draw_scatter(points, ["a", "b", "$x", "b", "声", "_"], path, title="50 $ a $^ title")
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_draw_many_speakers_and_one_point(tmp_path: Path) -> None:
    points = np.random.default_rng(1).normal(size=(70, 2)).astype(np.float32)
    draw_scatter(points, [f"speaker {index}" for index in range(70)], tmp_path / "many.png")
    draw_scatter(points[:1], ["one"], tmp_path / "one.png")
    assert (tmp_path / "many.png").read_bytes().startswith(PNG)
    assert (tmp_path / "one.png").read_bytes().startswith(PNG)


def test_points_and_speakers_must_fit_together(tmp_path: Path) -> None:
    points = np.zeros((2, 2), dtype=np.float32)
    for bad, speakers in ((points, ["a"]), (points[:0], []), (points[:, :1], ["a", "b"])):
        with pytest.raises(DataError):
            draw_scatter(bad, speakers, tmp_path / "map.png")
    with pytest.raises(DataError, match="NaN"):
        draw_scatter(points + np.float32(np.nan), ["a", "b"], tmp_path / "map.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9, 60, 500])
def test_palette_never_repeats_a_color(count: int) -> None:
    colors = palette(count)
    assert len(set(colors)) == len(colors) == count
    assert all(len(color) == 7 and int(color[1:], 16) >= 0 for color in colors)
    assert palette(count) == colors


def test_names_on_the_plot_are_inside_of_it_and_not_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr(scatter, "save_png", lambda figure, path: drawn.append(figure))
    points = np.array([[0, 0], [1, 1], [2, 0]], dtype=np.float32)
    draw_scatter(points, ["x" * 100, "a name of 24 characters.", "y" * 24], tmp_path / "map.png")
    axes = drawn[0].axes[0]
    assert {label.get_text() for label in axes.texts} == {
        "x" * 23 + "…", "a name of 24 characters.", "y" * 24,
    }  # fmt: skip
    frame = axes.get_window_extent()
    for label in axes.texts:
        box = label.get_window_extent()
        assert box.x0 >= frame.x0 - 1
        assert box.x1 <= frame.x1 + 1


def test_names_are_written_in_installed_fonts_or_as_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = pytest.importorskip("matplotlib.font_manager").fontManager
    drawn = []
    monkeypatch.setattr(scatter, "save_png", lambda figure, path: drawn.append(figure))
    own = [entry for entry in manager.ttflist if entry.name.startswith("DejaVu Sans")]
    with_hooks = [entry for entry in manager.ttflist if entry.name == "STIXGeneral"]
    points = np.array([[0, 0], [1, 1]], dtype=np.float32)
    names = ["\u1d81 anna", "\u58f0\u58f0"]  # a d with hooks, which comes with matplotlib; a voice
    for fonts, missing, labels in (
        ([*own, *with_hooks], "\u58f0", {"\u1d81 anna", r"\u58f0\u58f0"}),
        (own, "\u1d81\u58f0", {r"\u1d81 anna", r"\u58f0\u58f0"}),
    ):
        monkeypatch.setattr(manager, "ttflist", fonts)
        assert draw_scatter(points, names, tmp_path / "map.png") == missing
        texts = drawn.pop().axes[0].texts
        assert {label.get_text() for label in texts} == labels
        found = "STIXGeneral" in texts[0].get_fontfamily()
        assert found == (fonts is not own)
