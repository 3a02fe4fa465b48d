"""Lists of trials, their scores, and error rates over them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from timbral import api
from timbral.checkpoints.card_evaluations import read_evaluations
from timbral.data.manifest import Utterance
from timbral.embeddings.named_vectors import read_vectors
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.scoring.figures import Figures
from timbral.scoring.metrics import eer, min_dcf
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import (
    draw_cross_session_trials,
    draw_many_pairs,
    draw_pairs,
    read_trials,
    write_trials,
)


@pytest.fixture
def trials(voices: Path, tmp_path: Path) -> Path:
    names = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    pairs = draw_pairs([name.split("/")[0] for name in names], max_per_kind=60)
    path = tmp_path / "trials.txt"
    path.write_text("".join(f"{label} {names[a]} {names[b]}\n" for label, a, b in pairs))
    return path


def test_evaluation_scores_as_verify_does(
    run: Path, voices: Path, trials: Path, tmp_path: Path
) -> None:
    embedder = api.load_encoder(run, device="cpu")
    result = api.evaluate(embedder, trials, voices, tmp_path / "out")
    listed = read_trials(trials)
    lines = (tmp_path / "out" / "scores.txt").read_text().splitlines()
    for trial, line in list(zip(listed, lines, strict=True))[::10]:
        score, *names = line.split()
        verified = embedder.verify(voices / trial.first, voices / trial.second).score
        assert float(score) == pytest.approx(verified, abs=1e-5)
        assert names == [str(trial.label), trial.first, trial.second]
    scores, labels = [float(line.split()[0]) for line in lines], [each.label for each in listed]
    assert result.eer == pytest.approx(eer(scores, labels)[0], abs=0.02)
    assert result.min_dcf[0.05] == pytest.approx(min_dcf(scores, labels), abs=0.05)
    assert result.eer_interval is not None
    assert result.eer_interval.low <= result.eer <= result.eer_interval.high
    assert result.num_trials == 120
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["eer"] == result.eer
    assert written["weights_sha256"] == embedder.weights_sha256
    assert (written["encoder"], written["num_trials"]) == (embedder.name, 120)
    assert written["min_dcf"] == {"0.01": result.min_dcf[0.01], "0.05": result.min_dcf[0.05]}
    assert written["eer_interval"]["low"] == result.eer_interval.low
    assert result.line.startswith(f"EER {100 * result.eer:.2f} % (")
    of = tmp_path / "utt2spk"
    of.write_text("".join(f"{path.stem} {path.parent.name}\n" for path in voices.glob("*/*.ogg")))
    other = api.evaluate(embedder, trials, voices, speakers=of, p_target=[0.1])
    assert (set(other.min_dcf), other.eer, other.num_speakers) == ({0.1}, result.eer, 8)
    assert "  minDCF(0.1) " in other.line
    of.write_text("nobody s\n")
    with pytest.raises(DataError, match="recordings have no speaker, the first"):
        api.evaluate(embedder, trials, voices, speakers=of)


def test_lists_without_error_rates_are_scored(
    run: Path, voices: Path, trials: Path, tmp_path: Path, ask: Ask
) -> None:
    """Without labels, or of one kind: the same scores, from vectors that further lists share."""
    listed = [trial for trial in read_trials(trials) if trial.label == 1][:8]
    texts = {
        "unlabeled": "".join(f"{trial.first} {trial.second}\n" for trial in listed),
        "targets": "".join(f"1 {trial.first} {trial.second}\n" for trial in listed),
    }
    shared = ["--root", voices, "--vectors", tmp_path / "vectors", "--output"]
    assert ask("evaluate", run, trials, *shared, tmp_path / "all").code == 0
    known = {
        tuple(line.split()[2:]): line.split()[0]
        for line in (tmp_path / "all" / "scores.txt").read_text().splitlines()
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
        output = tmp_path / name
        answer = ask("evaluate", run, tmp_path / f"{name}.txt", *shared, output)
        assert answer.code == 0
        assert "no error rates" in answer.err
        assert "EER" not in answer.out
        lines = [line.split() for line in (output / "scores.txt").read_text().splitlines()]
        expected = [(known[trial.first, trial.second], trial) for trial in listed]
        for words, (score, trial) in zip(lines, expected, strict=True):
            of_list = [trial.first, trial.second]
            assert words == ([*of_list, score] if name == "unlabeled" else [score, "1", *of_list])
        written = json.loads((output / "evaluation.json").read_text())
        assert (written["num_trials"], written["num_failures"]) == (8, 0)
        assert "eer" not in written
        assert written["weights_sha256"]
        assert not (output / "report.html").exists()
        assert read_evaluations([output], written["weights_sha256"]) == []
    answer = ask("calibrate", tmp_path / "unlabeled", "--output", tmp_path / "c.json")
    assert (answer.code, "needs target and non-target" in answer.err) == (2, True)
    again = ask("evaluate", run, tmp_path / "targets.txt", *shared, tmp_path / "unlabeled")
    assert (again.code, "of another list" in again.err) == (2, True)


def test_trials_of_unusable_recordings_are_left_out_and_counted(
    run: Path, voices: Path, trials: Path, tmp_path: Path
) -> None:
    with trials.open("a") as file:
        file.write("1 missing/a.ogg missing/b.ogg\n")
    result = api.evaluate(api.load_encoder(run, device="cpu"), trials, voices, tmp_path / "out")
    assert (result.num_trials, result.num_failures) == (120, 2)


def test_wrong_root_is_told_before_anything_is_written(
    ask: Ask, run: Path, trials: Path, tmp_path: Path
) -> None:
    output = tmp_path / "wrong"
    words = ["evaluate", run, trials, "--root", tmp_path, "--output", output, "--device", "cpu"]
    answer = ask(*words)
    assert answer.code == 2
    hint = "error: --root should be the folder that the paths of the list are relative to: none of "
    assert answer.err.startswith(hint)
    assert not output.exists()
    with pytest.raises(DataError, match=r"^`root` should be the folder"):
        api.evaluate(run, trials, tmp_path, output)


def test_many_missing_recordings_are_left_out_only_when_asked(
    run: Path, voices: Path, trials: Path, tmp_path: Path
) -> None:
    with trials.open("a") as file:
        file.write("1 missing/a.ogg missing/b.ogg\n" * 2)
    embedder = api.load_encoder(run, device="cpu")
    with pytest.raises(DataError, match=r"2 of 50 recordings.*\(2 of 122 trials\).*skip_missing"):
        api.evaluate(embedder, trials, voices, tmp_path / "out")
    result = api.evaluate(embedder, trials, voices, tmp_path / "out", skip_missing=True)
    assert (result.num_trials, result.num_missing, result.num_failures) == (120, 2, 2)


@pytest.mark.parametrize("kept", [0, 1])
def test_missing_recordings_that_leave_one_kind_of_trial_are_named(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Scores and vectors are kept: when they are there, only these are embedded."""
    embedder = api.load_encoder(run, device="cpu")
    corpus = Path(shutil.copytree(voices, tmp_path / "corpus"))
    first, second, *_, other = (str(p.relative_to(voices)) for p in sorted(voices.glob("*/*")))
    gone = other if kept else second
    (tmp_path / "t.txt").write_text(f"1 {first} {second}\n0 {first} {other}\n")
    (corpus / gone).rename(tmp_path / "aside.ogg")
    kind = "target" if kept else "non-target"
    with pytest.raises(DataError, match="1 of 3 recordings in the list have no vector") as raised:
        api.evaluate(embedder, tmp_path / "t.txt", corpus, tmp_path / "out")
    assert f"{corpus / gone}: no such file" in str(raised.value)
    with pytest.raises(
        DataError, match=f"only {kind} trials could be scored: 1 recording could not"
    ):
        api.evaluate(embedder, tmp_path / "t.txt", corpus, tmp_path / "out", skip_missing=True)
    failure = json.loads((tmp_path / "out" / "failures.jsonl").read_text())
    assert (failure["utterance"], failure["path"]) == (gone, str(corpus / gone))
    assert len((tmp_path / "out" / "scores.txt").read_text().splitlines()) == 1

    (tmp_path / "aside.ogg").rename(corpus / gone)
    embedded = count_embedded(monkeypatch)
    api.evaluate(embedder, tmp_path / "t.txt", corpus, tmp_path / "out")
    assert embedded == [1]


def count_embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recordings are embedded at once, from now on."""
    encode_preprocessed, counts = Embedder.encode_preprocessed, []

    def counted(self: Embedder, waves: list[np.ndarray]) -> np.ndarray:
        counts.append(len(waves))
        return encode_preprocessed(self, waves)

    monkeypatch.setattr(Embedder, "encode_preprocessed", counted)
    return counts


def test_vectors_of_replaced_recordings_are_made_again(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = api.load_encoder(run, device="cpu")
    paths = [*sorted(voices.glob("*/*"))[:2], sorted(voices.glob("*/*"))[-1]]
    for name, path in zip("abc", paths, strict=True):
        shutil.copy(path, tmp_path / name)
    (tmp_path / "t.txt").write_text("1 a b\n0 a c\n")
    first = api.evaluate(embedder, tmp_path / "t.txt", tmp_path, tmp_path / "out")
    embedded = count_embedded(monkeypatch)
    assert api.evaluate(embedder, tmp_path / "t.txt", tmp_path, tmp_path / "out") == first
    assert embedded == []
    shutil.copy(sorted(voices.glob("*/*"))[2], tmp_path / "c")
    again = api.evaluate(embedder, tmp_path / "t.txt", tmp_path, tmp_path / "out")
    assert embedded == [1]
    whole = api.evaluate(embedder, tmp_path / "t.txt", tmp_path)
    assert again.threshold == pytest.approx(whole.threshold, abs=1e-5)
    assert again == dataclasses.replace(whole, threshold=again.threshold) != first
    file = tmp_path / "out" / "vectors" / ".embed" / "000000.arrow"
    file.write_bytes(file.read_bytes()[:100])  # cut off
    assert api.evaluate(embedder, tmp_path / "t.txt", tmp_path, tmp_path / "out") == whole


def test_lists_share_vectors(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second list embeds what the first did not name; then both lists embed nothing."""
    embedder = api.load_encoder(run, device="cpu")
    names = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    lists = {"b": names[8:20], "a": names[4:14]}  # the second list's names come first
    for key, some in lists.items():
        lines = [f"{int(a[:4] == b[:4])} {a} {b}\n" for a in some for b in some if a < b]
        (tmp_path / key).write_text("".join(lines))
    vectors = tmp_path / "vectors"
    embedded = count_embedded(monkeypatch)
    for key, count in (("b", 12), ("a", 4), ("b", 0), ("a", 0)):
        api.evaluate(embedder, tmp_path / key, voices, tmp_path / f"out-{key}", vectors=vectors)
        assert sum(embedded) == count
        embedded.clear()
    read = read_vectors(vectors)
    assert sorted(read.names.to_pylist()) == names[4:20]
    assert read.speakers is None
    assert not (tmp_path / "out-a" / "vectors").exists()
    scored = api.score(vectors, tmp_path / "a", tmp_path / "scores.txt").figures
    evaluated = api.evaluate(embedder, tmp_path / "a", voices, vectors=vectors)
    figures = {field.name: getattr(evaluated, field.name) for field in dataclasses.fields(Figures)}
    assert scored == Figures(**figures)
    assert (tmp_path / "scores.txt").read_text() == (tmp_path / "out-a" / "scores.txt").read_text()
    with pytest.raises(DataError, match="vectors of lists of trials"):
        api.embed(embedder, voices, vectors)
    api.embed(embedder, voices, tmp_path / "corpus", pattern="*_00.ogg")
    with pytest.raises(DataError, match="contains the vectors of a corpus"):
        api.evaluate(embedder, tmp_path / "a", voices, vectors=tmp_path / "corpus")


def test_read_trials(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("1 a b\n\nnontarget c d\n")
    assert read_trials(path) == [Trial(1, "a", "b"), Trial(0, "c", "d")]


def test_trials_of_paths_with_blanks(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    trials = [Trial(1, "a b/1.wav", "a b/\u30002.wav"), Trial(0, "a", "c")]
    write_trials(path, trials)
    assert path.read_text("utf-8") == "1\ta b/1.wav\ta b/\u30002.wav\n0 a c\n"
    assert read_trials(path) == trials
    path.write_text("1\ta b\t c d \r\n0 \ta\tb\n", "utf-8")
    assert read_trials(path) == [Trial(1, "a b", "c d"), Trial(0, "a", "b")]
    path.write_text("a b target\na c nontarget\n")  # Kaldi's order
    assert read_trials(path) == [Trial(1, "a", "b"), Trial(0, "a", "c")]
    with pytest.raises(DataError, match="cannot be written to a list of trials"):
        write_trials(path, [Trial(1, "a\tb", "c")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 a\n", "t.txt: .*such as `label path path`; got .*1 without a label"),
        ("1 a b\n2 a b\n", "t.txt:2"),
        ("1 a b\n", "both target and non-target"),
        ("", "contains no trials"),
    ],
)
def test_mistakes_in_trial_lists_are_errors(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(DataError, match=words):
        read_trials(tmp_path / "t.txt")
    with pytest.raises(DataError, match="no such file"):
        read_trials(tmp_path / "none.txt")


def test_drawn_pairs_are_balanced_and_deterministic() -> None:
    speakers = list(np.repeat(["a", "b", "c"], 5))
    pairs = draw_pairs(speakers, max_per_kind=20, seed=1)
    assert pairs == draw_pairs(speakers, max_per_kind=20, seed=1)
    assert len(set(pairs)) == len(pairs) == 40
    for label, first, second in pairs:
        assert first != second
        assert (speakers[first] == speakers[second]) == bool(label)
    with pytest.raises(DataError, match="two speakers"):
        draw_pairs(["a", "a"])
    with pytest.raises(DataError, match="two speakers"):
        draw_pairs(["a", "b"])


def test_many_pairs_are_all_of_each_kind_up_to_a_number() -> None:
    speakers = ["a"] * 3 + ["b"] * 4 + ["c"]
    drawn = draw_many_pairs(speakers)
    assert len(np.unique(np.sort(drawn[:, 1:], axis=1), axis=0)) == len(drawn) == 28
    for label, first, second in drawn.tolist():
        assert label == (speakers[first] == speakers[second])
    few = draw_many_pairs(speakers, max_per_kind=5)
    assert few[:, 0].tolist() == [1] * 5 + [0] * 5
    assert np.array_equal(few, draw_many_pairs(speakers, max_per_kind=5))
    for wrong in (["a", "a"], ["a", "b"], []):
        with pytest.raises(DataError, match="trials need two speakers"):
            draw_many_pairs(wrong)


def utterance(corpus: str, speaker: str, session: str, number: int) -> Utterance:
    name = f"{corpus}-{speaker}-{session}-{number}"
    return Utterance(name, speaker, session, f"/{name}.wav", corpus)


def test_cross_session_trials(tmp_path: Path) -> None:
    rows = [
        utterance(corpus, speaker, session, number)
        for corpus, speakers in (("one", "abc"), ("two", "de"))
        for speaker in speakers
        for session in "xy"
        for number in range(2)
    ]
    owner = {row.path: row for row in rows}
    genders = {"a": "f", "b": "f", "c": "m", "d": "f"}
    trials = draw_cross_session_trials(rows, genders)
    assert len(trials) == 2 * sum(trial.label for trial in trials) == 2 * 5 * 4
    for trial in trials:
        first, second = owner[trial.first], owner[trial.second]
        assert first.corpus == second.corpus
        if trial.label:
            assert first.speaker == second.speaker
            assert first.session != second.session
        else:
            assert {first.speaker, second.speaker} in ({"a", "b"}, {"d", "e"})
    assert trials == draw_cross_session_trials(rows, genders)
    assert len(draw_cross_session_trials(rows, max_per_kind=3)) == 6
    write_trials(tmp_path / "trials.txt", trials)
    assert read_trials(tmp_path / "trials.txt") == trials
    with pytest.raises(DataError, match="got 0 target"):
        draw_cross_session_trials([row for row in rows if row.session == "x"])
