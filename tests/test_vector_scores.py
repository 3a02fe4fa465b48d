"""Trials scored from vectors on disk: files of vectors, scores, figures."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import timbral
from scored_vectors import NAMES, NUM_SPEAKERS, VECTORS, all_trials, main, write_files
from timbral.embeddings.named_vectors import read_vectors
from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Vectors
from timbral.scoring.metrics import eer
from timbral.scoring.pairs import pair_cosines
from timbral.scoring.score_file import read_scores, write_scores
from timbral.scoring.trial_list import UNKNOWN, TrialList


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    return tmp_path


def test_scores_are_cosines(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = timbral.score(files / "v.npz", files / "t.txt", files / "s.txt", draws=100)
    unit = unit_length(VECTORS)
    expected = [float(unit[a] @ unit[b]) for _, a, b in all_trials()]
    scored = read_scores(files / "s.txt")
    assert scored.scores == pytest.approx(np.array(expected), abs=1e-6)
    labels = [label for label, _, _ in all_trials()]
    assert scored.trials.labels.tolist() == labels
    figures = result.figures
    assert figures is not None
    assert figures.eer == pytest.approx(eer(expected, labels)[0], abs=1e-3)
    assert figures.eer_interval is not None
    assert figures.eer_interval.low < figures.eer < figures.eer_interval.high
    assert (figures.num_trials, figures.num_speakers) == (len(labels), NUM_SPEAKERS)
    assert set(figures.min_dcf) == {0.01, 0.05}
    assert main(["score", str(files / "v.npz"), str(files / "t.txt"), "--draws", "100"]) == 0
    assert capsys.readouterr().out == f"{figures.line}\n{figures.thresholds_line}\n"


@pytest.mark.parametrize("form", ["npz", "safetensors", "ark", "scp", "parquet"])
def test_vectors_of_other_tools(form: str, tmp_path: Path) -> None:
    rows = dict(zip(NAMES, VECTORS, strict=True))
    source = tmp_path / f"v.{form}"
    if form == "npz":
        np.savez(source, **{name: vector[None] for name, vector in rows.items()})
    elif form == "safetensors":
        safetensors.numpy.save_file(rows, source)
    elif form == "parquet":
        columns = {"utterance": NAMES, "speaker": NAMES, "path": NAMES}
        vectors = pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 16))
        pa.parquet.write_table(pa.table(columns).append_column("embedding", vectors), source)
    else:
        with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/v.ark,{tmp_path}/v.scp") as writer:
            for row, (name, vector) in enumerate(rows.items()):
                writer[name] = vector.astype(np.float64) if row == 3 else vector
    found = read_vectors(source)
    order = [found.names.to_pylist().index(name) for name in NAMES]
    assert np.array_equal(found.vectors[order], VECTORS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": np.ones(3), "b": np.ones(4)}, "different sizes: 3 .a., 4 .b."),
        ({"a": np.ones(3), "b": np.array([1, np.nan, 1])}, "1 of 2 vectors are not finite.* of b"),
        ({"a": np.ones(3, dtype=np.int64)}, "a is int64 of shape .3,., not a vector of floats"),
        ({"a": np.ones((2, 3))}, "a has 2 vectors; what is read is a vector under each name"),
        ({}, "contains no vectors"),
        ({"a": np.ones(0)}, "not a vector"),
        ({"a": np.ones(3), "b": np.zeros(3)}, "the vector of b is zero"),
    ],
)
def test_vectors_that_are_none(tmp_path: Path, content: dict[str, Vectors], words: str) -> None:
    np.savez(tmp_path / "v.npz", **content)
    with pytest.raises(DataError, match=words):
        read_vectors(tmp_path / "v.npz")


@pytest.mark.parametrize(
    "name", ["none.npz", "text.npz", "text.ark", "text.scp", "text.safetensors"]
)
def test_files_that_hold_no_vectors(tmp_path: Path, name: str) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("something else entirely\n")
    with pytest.raises(DataError, match=name):
        read_vectors(tmp_path / name)


def test_trials_without_vectors(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (files / "t.txt").open("a") as file:
        file.write("1 s00-0 nobody\n")
    vectors, trials = str(files / "v.npz"), str(files / "t.txt")
    assert main(["score", vectors, trials, "--draws", "100"]) == 1  # one of 2,556 is few
    assert "1 recording without a vector, 1 trial left out: nobody" in capsys.readouterr().err
    (files / "few.txt").write_text("1 s00-0 s00-1\n0 s00-0 nobody\n0 s00-0 s01-0\n")
    with pytest.raises(DataError, match="1 of 4 recordings in the list have no vector"):
        timbral.score(vectors, files / "few.txt")
    left = timbral.score(vectors, files / "few.txt", skip_missing=True, draws=100)
    assert (left.num_trials, left.num_missing, left.missing) == (2, 1, ("nobody",))
    (files / "none.txt").write_text("1 x y\n")
    with pytest.raises(DataError, match="`root` should be"):
        timbral.score(vectors, files / "none.txt", skip_missing=True)


def test_unlabeled_lists_are_scored(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "u.txt").write_text("s00-0 s00-1\ns00-0 s01-0\n")
    arguments = [str(files / "v.npz"), str(files / "u.txt"), "--output", str(files / "o.txt")]
    assert main(["score", *arguments]) == 0
    assert (
        "2 trials scored; error rates need target and non-target trials" in capsys.readouterr().out
    )
    assert (files / "o.txt").read_text().split("\n")[0].startswith("s00-0 s00-1 ")
    assert main(["score", *arguments]) == 0  # its own scores are replaced
    (files / "o.txt").write_text("my notes\n")
    assert main(["score", *arguments]) == 2
    assert (files / "o.txt").read_text() == "my notes\n"


def test_trials_of_one_recording_are_told(files: Path) -> None:
    with (files / "t.txt").open("a") as file:
        file.write(f"1 {NAMES[0]} {NAMES[0]}\n")
    result = timbral.score(files / "v.npz", files / "t.txt", draws=0)
    assert result.note.startswith("1 trial compares a recording with itself")


def test_repeated_and_contradictory_trials_are_told(files: Path) -> None:
    one, two, three = NAMES[0], NAMES[1], NAMES[-1]
    with (files / "t.txt").open("a") as file:
        file.write(f"1 {two} {one}\n1 {one} {two}\n1 {one} {three}\n")
    note = timbral.score(files / "v.npz", files / "t.txt", draws=0).note
    assert note == (
        f"1 pair is both a target and a non-target trial, the first {one!r} with {three!r}: "
        f"correct the list; 2 trials repeat others and count again, the first {one!r} with "
        f"{two!r}: remove them"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--p-target", "2"], "--p-target must be between 0 and 1"),
        (["--draws", "7"], "--draws must be 100 or more"),
        (["--norm", "mean"], "--norm mean, as-norm and nap need a --cohort"),
        (
            ["--norm", "as-norm", "--cohort", "cohort.npz", "--top-k", "1"],
            "--top-k must be from 2 to",
        ),
    ],
)
def test_the_command_speaks_of_its_options(
    files: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(files / word) if word.endswith(".npz") else word for word in words]
    assert main(["score", str(files / "v.npz"), str(files / "t.txt"), *words]) == 2
    assert told in capsys.readouterr().err


def test_scores_of_other_tools_are_read_and_written(files: Path) -> None:
    """WeSpeaker and SpeechBrain put labels elsewhere, Kaldi's tools have none: one has them."""
    timbral.score(files / "v.npz", files / "t.txt", files / "s.txt", draws=0)
    rows = [line.split() for line in (files / "s.txt").read_text().splitlines()]
    words = {"0": "nontarget", "1": "target"}
    forms = {
        "wespeaker": [f"{a} {b} {score} {words[label]}" for score, label, a, b in rows],
        "speechbrain": [f"{a} {b} {label} {score}" for score, label, a, b in rows],
        "labels-first": [f"{label} {a} {b} {score}" for score, label, a, b in rows],
        "kaldi": [f"{a} {b} {score}" for score, label, a, b in rows],
    }
    expected = read_scores(files / "s.txt")
    for name, lines in forms.items():
        (files / name).write_text("\n".join(lines) + "\n")
        found = read_scores(files / name)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert found.trials.names.equals(expected.trials.names)
        if name != "kaldi":
            np.testing.assert_array_equal(found.trials.labels, expected.trials.labels)
        for pair in ((files / name, files / "s.txt"), (files / "s.txt", files / name)):
            compared = timbral.compare(*pair, draws=100)
            assert (compared.is_one_system, compared.num_trials) == (True, len(rows))
    with pytest.raises(DataError, match="at least one of them needs labels"):
        timbral.compare(files / "kaldi", files / "kaldi")
    options = {"draws": 0, "order": "pair-first"}
    timbral.score(files / "v.npz", files / "t.txt", files / "k.txt", **options)
    assert (files / "k.txt").read_text() == (files / "kaldi").read_text()
    with pytest.raises(ConfigError, match="order: unknown value"):
        timbral.score(files / "v.npz", files / "t.txt", draws=0, order="score")


def test_vectors_of_bfloat16(tmp_path: Path) -> None:
    """NumPy has no such numbers; as float32 they have the same value."""
    rows = torch.randn(3, 8).bfloat16()
    tensors = {"a": rows[0].clone(), "b": rows[1].clone(), "c": rows[2].float()}
    safetensors.torch.save_file(tensors, tmp_path / "v.safetensors")
    found = read_vectors(tmp_path / "v.safetensors")
    order = [found.names.to_pylist().index(name) for name in "abc"]
    np.testing.assert_array_equal(found.vectors[order], rows.float().numpy())


def test_damaged_files_of_vectors_are_errors(tmp_path: Path) -> None:
    rows = {"a": np.ones(4, np.float32), "b": np.zeros(4, np.float32)}
    np.savez(tmp_path / "x.npz", **rows)
    safetensors.numpy.save_file(rows, tmp_path / "x.safetensors")
    for name in ("x.npz", "x.safetensors"):
        path = tmp_path / name
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], whole[:-3], b"", b"PK", whole[10:]):
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=rf"{name}: cannot be read as \.") as caught:
                read_vectors(path)
            assert "\n" not in str(caught.value)


def test_names_with_quotes_are_written_and_read(tmp_path: Path) -> None:
    names = [f"{name}\"<b>'{row}" for row in range(6) for name in "ab"]
    np.savez(tmp_path / "v.npz", **{name: VECTORS[row] for row, name in enumerate(names)})
    lines = [f"{a[0] == b[0]:d} {a} {b}\n" for a in names for b in names if a < b]
    (tmp_path / "t.txt").write_text("".join(lines))
    timbral.score(tmp_path / "v.npz", tmp_path / "t.txt", tmp_path / "s.txt", draws=0)
    written = (tmp_path / "s.txt").read_text().splitlines(keepends=True)
    assert [line.partition(" ")[2] for line in written] == lines
    assert all(len(line.split(" ")[0].partition(".")[2]) == 6 for line in written)
    assert len(read_scores(tmp_path / "s.txt").scores) == len(lines)


def test_cosines_do_not_depend_on_the_order_of_pairs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5000, 8)).astype(np.float32)
    first, second = rng.integers(0, 5000, (2, 3001))
    unit = unit_length(vectors)
    expected = (unit[first] * unit[second]).sum(axis=1)
    assert pair_cosines(vectors, first, second) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("labels", [[1, 0], [UNKNOWN, UNKNOWN]])
def test_scores_are_written_with_six_decimals(tmp_path: Path, labels: list[int]) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 0.1234565001, -1e-7, -5e-7 - 1e-12, 99.9999999, 12.5, -0.999999]
    for some in (values, [*values, 1234.5]):
        scores = np.repeat(some, 2)
        count = len(scores)
        rows = np.zeros(count, dtype=np.int32), np.ones(count, dtype=np.int32)
        names = pa.array(["a", "b c"])
        trials = TrialList(np.resize(np.array(labels, dtype=np.int8), count), *rows, names)
        write_scores(tmp_path / "s.txt", trials, scores)
        written = read_scores(tmp_path / "s.txt")
        assert written.scores == pytest.approx(scores, abs=5.1e-7)
        assert written.trials.labels.tolist() == trials.labels.tolist()
        lines = (tmp_path / "s.txt").read_text().splitlines()
        first = "0.000000\t1\ta\tb c" if labels[0] == 1 else "a\tb c\t0.000000"
        assert lines[0] == first


@pytest.mark.parametrize("line", ["s0-0 12.345", "utt1 rec1 0.00 3.25", "price, 3.25", "1.2 1 0 x"])
def test_files_of_others_are_not_overwritten(files: Path, line: str) -> None:
    (files / "o").write_text(f"{line}\n")
    with pytest.raises(DataError, match="not scores of trials"):
        timbral.score(files / "v.npz", files / "t.txt", files / "o", draws=0)
    of = files / "speakers"
    of.write_text("".join(f"{name} 0.500000\n" for name in NAMES))
    with pytest.raises(DataError, match="is one of the inputs"):
        timbral.score(files / "v.npz", files / "t.txt", of, speakers=of, draws=0)


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_vectors_without_a_length_are_an_error(files: Path, factor: float) -> None:
    """Their cosines would all be zero."""
    rows = {name: np.float32(factor) * row for name, row in zip(NAMES, VECTORS, strict=True)}
    np.savez(files / "far.npz", **rows)
    with pytest.raises(DataError, match="too long or too short"):
        timbral.score(files / "far.npz", files / "t.txt")
