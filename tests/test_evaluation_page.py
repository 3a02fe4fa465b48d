"""The page of an evaluation."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import timbral
from timbral.plots.png_figure import PLOT
from timbral.reports.error_curves import CalibrationCurve, DetCurve, ScoreHistograms
from timbral.scoring.balanced_trials import trials
from timbral.scoring.score_file import read_scores


def test_the_page_has_figures_plots_and_audio(run: Path, voices: Path, tmp_path: Path) -> None:
    trials(voices, tmp_path / "t.txt", per_speaker=10)
    result = timbral.evaluate(run, tmp_path / "t.txt", voices, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert f"{100 * result.eer:.2f} %" in page
    assert result.eer_interval is not None
    assert f"{100 * result.eer_interval.low:.2f} to" in page
    assert f"<title>{run} on {tmp_path.name}/t.txt</title>" in page
    assert page.count("<svg") == 3
    assert page.count('class="point"') == 1  # the EER, in a color of the light or dark page
    for name in ("det.png", "scores.png", "calibration.png"):
        assert PLOT.is_in(tmp_path / "out" / name)
    assert "://" not in page  # it needs no network
    errors = [int(n) for n in re.findall(r">([0-9]+) of [0-9]+</td>", page)]
    assert sum(errors) > 0
    assert "data:audio/mpeg;base64," in page
    assert page.count("<audio") % 2 == 0
    again = timbral.evaluate(run, tmp_path / "t.txt", voices, tmp_path / "out")
    assert again == result
    assert (tmp_path / "out" / "report.html").read_text("utf-8") == page


def test_page_without_errors(tmp_path: Path) -> None:
    from timbral.reports.evaluation_page import write_evaluation_page
    from timbral.scoring.figures import compute_figures
    from timbral.scoring.intervals import Interval
    from timbral.scoring.list_scores import ListScores
    from timbral.scoring.trial_speakers import GUESSED, speakers_of

    (tmp_path / "s.txt").write_text("0.9 1 a <b>\n0.9 1 c d\n0.1 0 a c\n0.1 0 <b> d\n")
    scored = read_scores(tmp_path / "s.txt")
    of = speakers_of(scored.trials, None)
    sides = of[scored.trials.first], of[scored.trials.second]
    figures = compute_figures(scored.scores, scored.trials.labels, *sides, draws=100)
    done = ListScores(scored, figures, of, 0, ())
    write_evaluation_page(tmp_path / "p.html", "x & y", figures, done, ["x"] * 4)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert page.count("<p>None.</p>") == 2
    assert "x &amp; y" in page
    assert "<b>" not in page
    assert "guessed" not in page
    assert "<th>speaker of</th>" in page
    of_each = {"a": "one", "<b>": "one", "c": "<two>", "d": "<two>"}
    named = pa.array([of_each[name] for name in scored.trials.names.to_pylist()])
    known = replace(done, speaker_names=named)
    write_evaluation_page(tmp_path / "p.html", "x & y", figures, known, ["x"] * 4)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "<th>speaker</th>" in page
    assert "<td>one</td>" in page
    assert "<td>&lt;two&gt;</td>" in page
    wide = replace(figures, eer_interval=Interval(0.0, 0.1), interval_note=GUESSED)
    write_evaluation_page(tmp_path / "p.html", "x & y", wide, done, ["x"] * 4)
    page = (tmp_path / "p.html").read_text("utf-8")
    assert "speakers are guessed from the target trials" in page
    assert "Give the speakers with <code>--speakers</code>" in page


def test_page_without_matplotlib(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials(voices, tmp_path / "t.txt", per_speaker=4)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    timbral.evaluate(run, tmp_path / "t.txt", voices, tmp_path / "out", draws=0)
    assert (tmp_path / "out" / "report.html").read_text("utf-8").count("<svg") == 3
    assert not list((tmp_path / "out").glob("*.png"))


def test_an_eer_that_is_not_on_the_axes_is_told_and_not_drawn(tmp_path: Path) -> None:
    none, some = np.empty(0), np.array([0.01, 0.02])
    perfect, usual = DetCurve(none, none, 0.0), DetCurve(some, some[::-1], 0.015)
    assert "the EER of 0.00 % is not on these axes" in perfect.svg()
    assert ("<circle" in perfect.svg(), "<circle" in usual.svg()) == (False, True)
    for curve in (perfect, usual):
        curve.write_png(tmp_path / "det.png", "list")
        assert PLOT.is_in(tmp_path / "det.png")


@pytest.mark.parametrize(
    ("edges", "labels"),
    [
        ((-0.231, 0.953), "-0.2 0.0 0.2 0.4 0.6 0.8"),
        ((0.4, 0.41), "0.400 0.402 0.404 0.406 0.408"),
        ((-30.0, 55.0), "-20 0 20 40"),
    ],
)
def test_labels_of_scores_are_round(edges: tuple[float, float], labels: str) -> None:
    counts = np.ones(60)
    histograms = ScoreHistograms(np.linspace(*edges, 61), counts, counts, sum(edges) / 2)
    texts = re.findall(r'text-anchor="middle">([-.0-9]+)<', histograms.svg())
    assert " ".join(texts) == labels


def test_what_a_score_is_worth(tmp_path: Path) -> None:
    """Normal scores of one spread have a logistic probability; the steps follow it."""
    random = np.random.default_rng(0)
    labels = np.repeat([1, 0], 20_000)
    scores = random.normal(np.where(labels == 1, 0.6, 0.2), 0.2)
    text = "".join(f"{s} {n} a b\n" for s, n in zip(scores, labels, strict=True))
    (tmp_path / "s.txt").write_text(text)
    curve = CalibrationCurve.of(read_scores(tmp_path / "s.txt"))
    expected = 1 / (1 + np.exp(-10 * (curve.scores - 0.4)))  # the llr of two normal densities
    assert np.abs(curve.logistic - expected).max() < 0.02
    middles = (curve.edges[:-1] + curve.edges[1:]) / 2
    common = (middles > 0.1) & (middles < 0.7)
    assert np.abs(curve.steps - 1 / (1 + np.exp(-10 * (middles - 0.4))))[common].max() < 0.1
    assert (np.diff(curve.steps) > 0).all()


@pytest.mark.parametrize(
    "lines", ["0.9 1 a b\n0.1 0 c d\n", "0.5 1 a b\n0.5 0 c d\n", "inf 1 a b\n0.1 0 c d\n"]
)
def test_few_scores_have_a_curve(lines: str, tmp_path: Path) -> None:
    """Scores without overlap, equal ones, and infinite ones."""
    (tmp_path / "s.txt").write_text(lines)
    curve = CalibrationCurve.of(read_scores(tmp_path / "s.txt"))
    assert "nan" not in curve.svg().lower()
    curve.write_png(tmp_path / "c.png", "few")
    assert PLOT.is_in(tmp_path / "c.png")
