"""The page of an evaluation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import timbral
from timbral.plots.scatter import PLOT
from timbral.scoring.balanced_trials import trials


def test_page(run: Path, voices: Path, tmp_path: Path) -> None:
    trials(voices, tmp_path / "t.txt", per_speaker=10)
    result = timbral.evaluate(run, tmp_path / "t.txt", voices, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert f"{100 * result.eer:.2f} %" in page
    assert result.eer_interval is not None
    assert f"{100 * result.eer_interval.low:.2f} to" in page
    assert page.count("<svg") == 2
    for name in ("det.png", "scores.png"):
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
    from timbral.scoring.list_scores import ListScores
    from timbral.scoring.score_file import read_scores
    from timbral.scoring.trial_speakers import speakers_of

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


def test_page_without_matplotlib(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials(voices, tmp_path / "t.txt", per_speaker=4)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    timbral.evaluate(run, tmp_path / "t.txt", voices, tmp_path / "out", draws=0)
    assert (tmp_path / "out" / "report.html").read_text("utf-8").count("<svg") == 2
    assert not list((tmp_path / "out").glob("*.png"))
