"""Lists of trials drawn from a corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import timbral
from timbral.data.manifest import Utterance
from timbral.errors import ConfigError, DataError
from timbral.scoring.balanced_trials import draw_balanced
from timbral.scoring.trials import read_trials


def corpus(speakers: int = 6, sessions: int = 2, each: int = 4) -> list[Utterance]:
    return [
        Utterance(f"{s}-{session}-{i}", f"s{s}", f"{session}", f"/c/{s}-{session}-{i}.wav", "c")
        for s in range(speakers)
        for session in range(sessions)
        for i in range(each)
    ]


def test_every_speaker_has_as_many_trials() -> None:
    rows = corpus()
    genders = {f"s{number}": "mf"[number % 2] for number in range(6)}
    drawn = draw_balanced(rows, per_speaker=10, across_sessions=True, genders=genders)
    assert drawn == draw_balanced(rows, per_speaker=10, across_sessions=True, genders=genders)
    assert drawn != draw_balanced(
        rows, per_speaker=10, across_sessions=True, genders=genders, seed=1
    )
    assert len({(min(a, b), max(a, b)) for _, a, b in drawn}) == len(drawn) == 120
    targets = Counter(rows[a].speaker for label, a, _ in drawn if label)
    nontargets = Counter(rows[a].speaker for label, a, _ in drawn if not label)
    assert set(targets.values()) == set(nontargets.values()) == {10}
    for label, a, b in drawn:
        if label:
            assert rows[a].speaker == rows[b].speaker
            assert rows[a].session != rows[b].session
        else:
            assert rows[a].speaker != rows[b].speaker
            assert genders[rows[a].speaker] == genders[rows[b].speaker]


def test_few_pairs_and_many() -> None:
    small = draw_balanced(corpus(2, 1, 2), per_speaker=50)
    assert Counter(label for label, _, _ in small) == {1: 2, 0: 2}
    large = draw_balanced(corpus(2, 1, 2000), per_speaker=50)
    assert Counter(label for label, _, _ in large) == {1: 100, 0: 100}


def test_corpora_without_trials() -> None:
    with pytest.raises(DataError, match="got 0 target"):
        draw_balanced(corpus(sessions=1), per_speaker=5, across_sessions=True)
    with pytest.raises(DataError, match="5 speakers have no gender, the first: s1"):
        draw_balanced(corpus(), per_speaker=5, genders={"s0": "f"})
    with pytest.raises(ConfigError, match="seed is 0 or more; got -1"):
        draw_balanced(corpus(), per_speaker=5, seed=-1)
    with pytest.raises(ConfigError, match="1 or more; got 0"):
        draw_balanced(corpus(), per_speaker=0)


def test_a_list_of_a_folder(voices: Path, tmp_path: Path) -> None:
    summary = timbral.trials(voices, tmp_path / "t.txt", per_speaker=5)
    assert (summary.num_targets, summary.num_nontargets) == (40, 40)
    assert (summary.num_speakers, summary.num_without_targets) == (8, 0)
    listed = read_trials(tmp_path / "t.txt")
    assert all((voices / trial.first).exists() for trial in listed)
    of = tmp_path / "t.txt.utt2spk"
    assert len(of.read_text().splitlines()) == 48
    scored = tmp_path / "s.txt"
    scored.write_text(
        "".join(f"0.{i % 7}{i % 10} {t.label} {t.first} {t.second}\n" for i, t in enumerate(listed))
    )
    told, guessed = (timbral.compare(scored, scored, speakers=who, draws=100) for who in (of, None))
    assert (told.num_speakers, told.note) == (8, "")
    assert "guessed" in guessed.note
    timbral.trials(voices, tmp_path / "t.txt", per_speaker=6)  # its own list is replaced
    (tmp_path / "notes.txt").write_text("mine\n")
    with pytest.raises(DataError, match="not a list of trials"):
        timbral.trials(voices, tmp_path / "notes.txt")
    (tmp_path / "s2g").write_text("1 m\n2 f\n")
    with pytest.raises(DataError, match="is what is read"):
        timbral.trials(voices, tmp_path / "s2g", genders=tmp_path / "s2g")
