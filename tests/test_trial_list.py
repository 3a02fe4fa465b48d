"""Lists of trials of several toolkits, and the speakers that they imply."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbral.errors import DataError
from timbral.scoring.score_file import read_scores
from timbral.scoring.trial_list import UNKNOWN, read_trial_list
from timbral.scoring.trial_speakers import speakers_from_targets


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("1 a b\n0 a c\n", [1, 0]),
        ("a b target\na c nontarget\n", [1, 0]),
        ("a b 1\r\na c 0\r\n", [1, 0]),
        ("# VoxCeleb\n1  a b\n\n0 a c\n", [1, 0]),
        ("\ufeff1 a b\n0 a c\n", [1, 0]),
        ("1\ta\tb\n0\ta\tc\n", [1, 0]),
        ("a b\na c\n", [UNKNOWN, UNKNOWN]),
    ],
)
def test_lists_of_trials(tmp_path: Path, text: str, labels: list[int]) -> None:
    (tmp_path / "t.txt").write_text(text, newline="")
    trials = read_trial_list(tmp_path / "t.txt")
    assert trials.labels.tolist() == labels
    names = trials.names.to_pylist()
    assert [names[row] for row in trials.first] == ["a", "a"]
    assert [names[row] for row in trials.second] == ["b", "c"]
    assert trials.is_labeled == (labels == [1, 0])


def test_paths_with_blanks_stand_between_tabs(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("1\tmy a.wav\tmy b.wav\n0\tmy a.wav\tc\n")
    assert read_trial_list(tmp_path / "t.txt").names.to_pylist() == ["my a.wav", "my b.wav", "c"]


def test_paths_with_blanks_may_be_quoted(tmp_path: Path) -> None:
    """In a list that fits no other way; quotes in other lists belong to their names."""
    text = '0 "c" d"e\n1 "my a.wav" "my b.wav"\n1 c "my a.wav"\n'
    (tmp_path / "t.txt").write_text(text)
    found = read_trial_list(tmp_path / "t.txt").trials()
    assert [(each.first, each.second) for each in found] == [
        ("c", 'd"e'),
        ("my a.wav", "my b.wav"),
        ("c", "my a.wav"),
    ]
    (tmp_path / "s.txt").write_text('0.5 1 "a b" c\n0.25 0 "a b" d\n')
    assert read_scores(tmp_path / "s.txt").trials.names.to_pylist() == ["a b", "c", "d"]
    for separator in " \t":  # without blanks, too, where all paths are quoted
        text = '1 "c" "d.wav"\n0 "d.wav" "e"\n'.replace(" ", separator)
        (tmp_path / "t.txt").write_text(text)
        assert read_trial_list(tmp_path / "t.txt").names.to_pylist() == ["c", "d.wav", "e"]
    (tmp_path / "t.txt").write_text('1 "c" d\n')
    assert read_trial_list(tmp_path / "t.txt").names.to_pylist() == ['"c"', "d"]
    (tmp_path / "t.txt").write_text('1 "my a.wav c\n')
    with pytest.raises(DataError, match="separate the columns by tabs, or quote the paths"):
        read_trial_list(tmp_path / "t.txt")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 a b\n1 a\n", "t.txt:2: a trial should be .*got '1 a'"),
        ("1 a b\n2 a b\n", "t.txt:2: a trial should be .*got '2 a b'"),
        ("1 a b c d\n", "t.txt:1"),
        ("\n", "contains no trials"),
    ],
)
def test_mistakes_in_lists(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_trial_list(tmp_path / "t.txt")


def test_target_trials_join_recordings_of_a_speaker(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("1 c b\n1 b a\n0 a d\n1 e d\n0 f a\n1 g e\n")
    trials = read_trial_list(tmp_path / "t.txt")
    of = dict(zip(trials.names.to_pylist(), speakers_from_targets(trials).tolist(), strict=True))
    assert of["a"] == of["b"] == of["c"]
    assert of["d"] == of["e"] == of["g"]
    assert len(set(of.values())) == 3


def test_missing_list_of_trials_names_the_one_that_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text("1 a b\n")
    message = r"trial\.txt: no such file; did you mean .*trials\.txt\?"
    with pytest.raises(DataError, match=message):
        read_trial_list(tmp_path / "trial.txt")
