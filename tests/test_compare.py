"""Two systems compared on the same trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import timbral
from scored_vectors import NAMES, VECTORS, main, write_files
from timbral.errors import DataError
from timbral.scoring.score_file import read_scores
from timbral.scoring.system_names import system_names


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    return tmp_path


def test_noisier_vectors_are_worse(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    noisy = VECTORS + rng.normal(size=VECTORS.shape) * 1.5
    np.savez(files / "w.npz", **dict(zip(NAMES, noisy, strict=True)))
    for name in ("v", "w"):
        (files / name).mkdir()
        timbral.score(files / f"{name}.npz", files / "t.txt", files / name / "scores.txt", draws=0)
    result = timbral.compare(files / "v", files / "w" / "scores.txt", draws=200)
    rate = result.differences[0]
    assert rate.first < rate.second
    assert rate.is_clear
    assert result.names == ("v", "w")
    assert result.verdict(rate) == "v is better"
    itself = timbral.compare(files / "v", files / "v", draws=100)
    assert itself.names == ("first", "second")
    same = itself.differences[0]
    assert (same.interval.low, same.interval.high, same.is_clear) == (0, 0, False)
    lines = (files / "w" / "scores.txt").read_text().splitlines(keepends=True)
    (files / "w" / "scores.txt").write_text("".join(lines[5:]))
    words = ["compare", str(files / "v"), str(files / "w"), "--draws", "100"]
    assert main(words) == 1, "as score ends when vectors are missing"
    shown = capsys.readouterr()
    head, rates, *_ = shown.out.splitlines()
    assert head.split()[:5] == ["v", "w", "w", "-", "v,"]
    assert rates.endswith(": v is better")
    assert "5 trials left out that only one of them scored" in shown.err
    (files / "x.txt").write_text("0.5 1 a b\n0.1 0 a c\n")
    with pytest.raises(DataError, match="have no trial in common"):
        timbral.compare(files / "v", files / "x.txt")


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("runs/old/evaluation/list", "runs/new/evaluation/list", ("old", "new")),
        ("evaluation/ge2e-lstm/list", "runs/new/evaluation/list", ("ge2e-lstm", "new")),
        ("a/scores.txt", "b", ("a", "b")),
        ("runs/old/evaluation/list/llrs.txt", "b/llrs.txt", ("old", "b")),
        ("a.txt", "a.csv", ("a.txt", "a.csv")),
        ("here/a", "there/a/scores.txt", ("here", "there")),
        ("a", "./a", ("first", "second")),
        ("report-a", "runs/new/evaluation/list", ("report-a", "new")),
        ("runs/old/evaluation/list", "runs/new/evaluation/list-1a2b3c4d", ("old", "new")),
        ("runs/old/evaluation/short", "runs/old/evaluation/long", ("short", "long")),
    ],
)
def test_systems_are_named_after_what_differs(
    first: str, second: str, names: tuple[str, str]
) -> None:
    assert system_names(first, second) == names


def test_compare_refuses_lists_that_differ(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the rule of `score`: one trial in a hundred may be missing."""
    whole, shorter = files / "whole.txt", files / "shorter.txt"
    timbral.score(files / "v.npz", files / "t.txt", whole, draws=0)
    lines = whole.read_text().splitlines(keepends=True)
    shorter.write_text("".join(lines[len(lines) // 50 :]))
    with pytest.raises(DataError, match=r"51 trials were scored by only one of them, 2,505 by"):
        timbral.compare(whole, shorter, draws=100)
    result = timbral.compare(whole, shorter, draws=100, skip_missing=True)
    assert (result.num_left_out, result.is_one_system) == (51, True)
    words = ["compare", str(whole), str(shorter), "--draws", "100"]
    assert main(words) == 2
    assert "or set --skip-missing to leave the others out" in capsys.readouterr().err
    assert main([*words, "--skip-missing"]) == 1
    assert "both give every trial the same score" in capsys.readouterr().err


def test_compare_says_the_rates_of_too_few_speakers(tmp_path: Path) -> None:
    scores = tmp_path / "scores.txt"
    scores.write_text("0.9 1 a1 a2\n0.8 1 b1 b2\n0.2 0 a1 b1\n0.1 0 a2 b2\n")
    with pytest.raises(
        DataError, match=r"EER 0.00 % and 0.00 %; .* needs at least 5 of them; got 2"
    ):
        timbral.compare(scores, scores, draws=100)
    with pytest.raises(DataError, match=r"report.html: is a page; give its folder"):
        timbral.compare(scores, tmp_path / "report.html")


def test_compare_of_a_run_names_its_evaluations(tmp_path: Path) -> None:
    """Somebody gives encoders, where scores belong."""
    evaluation = tmp_path / "run" / "evaluation" / "trials"
    evaluation.mkdir(parents=True)
    (evaluation / "scores.txt").write_text("0.9 1 a1 a2\n")
    with pytest.raises(DataError) as run:
        timbral.compare(tmp_path / "run", tmp_path)
    assert str(run.value) == (
        f"{tmp_path / 'run'}: the folder has no scores.txt; did you mean {evaluation}?"
    )
    with pytest.raises(DataError, match=r"no such file or folder; .* wrote, not an encoder"):
        timbral.compare(evaluation, "campplus-zh-en")


def test_scores_of_zero_and_one_are_no_labels(tmp_path: Path) -> None:
    """A system that only accepts and rejects, in timbral's own order of columns."""
    scores = tmp_path / "scores.txt"
    scores.write_text("1 1 a1 a2\n0 1 b1 b2\n0 0 a1 b1\n0 0 a2 b2\n")
    read = read_scores(scores)
    assert read.scores.tolist() == [1, 0, 0, 0]
    assert read.trials.labels.tolist() == [1, 1, 0, 0]
    scores.write_text("0.9 1 a1 a2\nnan 0 a1 b1\n")
    with pytest.raises(DataError, match="1 of 2 scores are NaN, the first that of a1 with b1"):
        read_scores(scores)
    scores.write_text("0.9 1 a1 a2\nhigh 0 a1 b1\n")
    with pytest.raises(DataError, match="'high' is not a score; a line should be"):
        read_scores(scores)


def test_several_scores_of_a_pair_are_refused(files: Path) -> None:
    scores, other = files / "scores.txt", files / "other.txt"
    timbral.score(files / "v.npz", files / "t.txt", scores, draws=0)
    lines = scores.read_text().splitlines(keepends=True)
    other.write_text("".join([*lines, lines[0]]))
    assert timbral.compare(scores, other, draws=100).num_left_out == 0, "the same score again"
    near_zero = [f"{score} 0 {pair}\n" for score, pair in ((1.2e-5, "x y"), (1.3e-5, "y x"))]
    other.write_text("".join([*lines, *near_zero]))
    assert timbral.compare(scores, other, draws=100).num_left_out == 1, "only rounded otherwise"
    other.write_text("".join([*lines, f"0.123 1 {NAMES[1]} {NAMES[0]}\n"]))
    told = f"several scores of {NAMES[0]} with {NAMES[1]}, such as .* and 0.123; keep one line"
    with pytest.raises(DataError, match=told):
        timbral.compare(scores, other, draws=100)
