"""Lists of trials drawn from a corpus."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

import timbral
from conftest import Ask
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import ConfigError, DataError
from timbral.scoring.balanced_trials import draw_balanced
from timbral.scoring.genders import read_genders
from timbral.scoring.speaker_groups import speaker_groups
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
    drawn = draw_balanced(rows, per_speaker=10, across_sessions=True, groups=genders)
    assert drawn == draw_balanced(rows, per_speaker=10, across_sessions=True, groups=genders)
    assert drawn != draw_balanced(
        rows, per_speaker=10, across_sessions=True, groups=genders, seed=1
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
    with pytest.raises(DataError, match=r"needs two sessions; there are .* in 6 sessions"):
        draw_balanced(corpus(sessions=1), per_speaker=5, across_sessions=True)
    with pytest.raises(DataError, match="no speaker has two recordings; there are 4 recordings"):
        draw_balanced(corpus(4, 1, 1), per_speaker=5)
    with pytest.raises(DataError, match="all recordings are of one speaker, 's0'"):
        draw_balanced(corpus(1), per_speaker=5)
    genders = {"s0": "male", "s1": "female"}
    with pytest.raises(DataError, match="in the same group; there are 1 female, 1 male"):
        draw_balanced(corpus(2), per_speaker=5, groups=genders)
    with pytest.raises(DataError, match=r"5 of 6 speakers have no gender, the first: s1; .* s0"):
        speaker_groups(Manifest.of(corpus()), {"s0": "f"}, ())
    with pytest.raises(ConfigError, match="`seed` must be 0 or more; got -1"):
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
    shutil.copy(of, tmp_path / "s.txt.utt2spk")
    assert timbral.compare(scored, scored, draws=100) == told
    timbral.trials(voices, tmp_path / "t.txt", per_speaker=6)  # its own list is replaced
    (tmp_path / "notes.txt").write_text("mine\n")
    with pytest.raises(DataError, match="not a list of trials"):
        timbral.trials(voices, tmp_path / "notes.txt")
    (tmp_path / "s2g").write_text("1 m\n2 f\n")
    with pytest.raises(DataError, match="is one of the inputs"):
        timbral.trials(voices, tmp_path / "s2g", genders=tmp_path / "s2g")


def test_genders_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "spk2gender"
    path.write_text("s0 M\ns1 female\ns2 f\n")
    assert read_genders(path) == {"s0": "male", "s1": "female", "s2": "female"}
    path.write_text("s0 m\ns1 r01\n")
    with pytest.raises(DataError, match=r"spk2gender: s1 has the gender 'r01'; .* one of m, male"):
        read_genders(path)


def test_the_list_that_is_read_is_not_overwritten(voices: Path, tmp_path: Path) -> None:
    """Neither by the list of trials nor by that of the speakers."""
    rows = "".join(f"{path}\t{path.parent.name}\n" for path in sorted(voices.glob("*/*")))
    text = f"path\tspeaker\n{rows}"
    for table in (tmp_path / "corpus.tsv", tmp_path / "list.utt2spk.tsv"):
        table.write_text(text)
        with pytest.raises(DataError, match="is one of the inputs"):
            timbral.trials(table, table)
        assert table.read_text() == text
    genders = tmp_path / "t.txt.utt2spk"
    genders.write_text("".join(f"{path.name} m\n" for path in voices.iterdir()))
    with pytest.raises(DataError, match="is one of the inputs"):
        timbral.trials(voices, tmp_path / "t.txt", genders=genders)


def test_fewer_pairs_than_asked_for_are_told(ask: Ask, voices: Path, tmp_path: Path) -> None:
    words = ["trials", voices, "--output", tmp_path / "t.txt"]
    answer = ask(*words, "--per-speaker", 15)
    assert (answer.code, answer.err) == (0, "")
    answer = ask(*words, "--per-speaker", 16)
    assert answer.err == "8 speakers with fewer than 16 target trials: too few recordings\n"


def test_trials_of_some_speakers_alone(ask: Ask, voices: Path, tmp_path: Path) -> None:
    names = sorted(folder.name for folder in voices.iterdir())[:2]
    (tmp_path / "unseen.txt").write_text("\n".join(names))
    output = tmp_path / "trials.txt"
    words = ("trials", voices, "--output", output, "--only-speakers", tmp_path / "unseen.txt")
    answer = ask(*words)
    assert (answer.code, answer.out.count("of 2 speakers")) == (0, 1)
    assert {line.split("/")[0].split()[-1] for line in output.read_text().splitlines()} == set(
        names
    )
    (tmp_path / "unseen.txt").write_text("nobody\n")
    answer = ask(*words)
    assert answer.code == 2
    assert "1 of 1 listed speakers are not in the data, such as 'nobody'" in answer.err
