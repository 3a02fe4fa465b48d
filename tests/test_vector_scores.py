"""Trials scored from vectors on disk, normalized, with intervals, and compared."""

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
from timbral.cli.main import main as run_cli
from timbral.embeddings.named_vectors import read_vectors
from timbral.embeddings.vectors import project_out, unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints, Vectors
from timbral.scoring.hull import convex_hull, min_cllr_of
from timbral.scoring.intervals import (
    SpeakerBootstrap,
    _smallest_integers,
    _weights,
    draw_speakers,
    eer_of,
    interval_of,
)
from timbral.scoring.metrics import SortedScores, eer
from timbral.scoring.normalization import cohort_statistics, subtract_mean
from timbral.scoring.nuisance import nuisance_directions
from timbral.scoring.pairs import pair_cosines
from timbral.scoring.ranked_trials import RankedTrials, order_of_scores
from timbral.scoring.score_file import read_scores, write_scores
from timbral.scoring.system_names import system_names
from timbral.scoring.trial_list import UNKNOWN, TrialList, read_trial_list
from timbral.scoring.trial_speakers import speakers_from_targets

NUM_SPEAKERS, EACH = 12, 6


def main(words: list[str]) -> int:
    """The exit code of a command line."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr("sys.argv", ["timbral", *words])
        patch.setattr("timbral.io.devices.tune_cpu", lambda: None)  # this process keeps denormals
        run_cli()
    return int(end.value.code or 0)


def made_vectors(seed: int, speakers: int = NUM_SPEAKERS, spread: float = 1.2) -> Vectors:
    """`EACH` vectors a speaker, with a mean that all share."""
    rng = np.random.default_rng(seed)
    means = np.repeat(rng.normal(size=(speakers, 16)), EACH, axis=0)
    return np.asarray(means + spread * rng.normal(size=means.shape) + 1, dtype=np.float32)


VECTORS = made_vectors(1)
NAMES = [f"s{row // EACH:02d}-{row % EACH}" for row in range(len(VECTORS))]


def all_trials() -> list[tuple[int, int, int]]:
    pairs = [(a, b) for a in range(len(NAMES)) for b in range(a + 1, len(NAMES))]
    return [(int(NAMES[a][:3] == NAMES[b][:3]), a, b) for a, b in pairs]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.savez(tmp_path / "v.npz", **dict(zip(NAMES, VECTORS, strict=True)))
    lines = (f"{label} {NAMES[a]} {NAMES[b]}\n" for label, a, b in all_trials())
    (tmp_path / "t.txt").write_text("".join(lines))
    others = made_vectors(2)
    np.savez(tmp_path / "cohort.npz", **{f"c{row}": vector for row, vector in enumerate(others)})
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


def test_intervals_do_not_depend_on_the_order_of_the_list(files: Path) -> None:
    lines = (files / "t.txt").read_text().splitlines(keepends=True)
    turned = [" ".join([label, second, first]) for label, first, second in map(str.split, lines)]
    (files / "turned.txt").write_text("\n".join(reversed(turned)) + "\n")
    speakers = {name: f"of {name[:3]}" for line in lines for name in line.split()[1:]}
    for given in (None, speakers):
        one, other = (
            timbral.score(files / "v.npz", files / name, speakers=given, draws=100)
            for name in ("t.txt", "turned.txt")
        )
        assert one.figures is not None
        assert other.figures is not None
        assert one.figures.eer_interval == other.figures.eer_interval
        assert one.figures.min_dcf_intervals == other.figures.min_dcf_intervals


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


def test_norms_are_those_of_their_definitions(files: Path) -> None:
    others = made_vectors(2)
    unit, strangers = unit_length(VECTORS), unit_length(others)
    against = np.sort(unit @ strangers.T, axis=1)[:, -20:]
    statistics = cohort_statistics(VECTORS, others, 20)
    assert statistics[:, 0] == pytest.approx(against.mean(axis=1), abs=1e-6)
    assert statistics[:, 1] == pytest.approx(against.std(axis=1), abs=1e-6)
    options = {"cohort": files / "cohort.npz", "draws": 0}
    timbral.score(
        files / "v.npz", files / "t.txt", files / "s", norm="as-norm", top_k=20, **options
    )
    trials = np.array(all_trials())
    z = [
        ((unit[trials[:, 1]] * unit[trials[:, 2]]).sum(1) - against.mean(1)[side])
        / against.std(1)[side]
        for side in (trials[:, 1], trials[:, 2])
    ]
    assert read_scores(files / "s").scores == pytest.approx((z[0] + z[1]) / 2, abs=1e-4)
    timbral.score(files / "v.npz", files / "t.txt", files / "m", norm="mean", **options)
    centered = subtract_mean(VECTORS, others)
    expected = (centered[trials[:, 1]] * centered[trials[:, 2]]).sum(axis=1)
    assert read_scores(files / "m").scores == pytest.approx(expected, abs=1e-5)


def test_nap_takes_out_what_a_line_adds() -> None:
    """Half of all recordings are moved the same way, as by a telephone: in the trials, too."""
    generator = np.random.default_rng(3)
    line = generator.normal(size=16)

    def record(speakers: Vectors) -> tuple[Vectors, Ints]:
        codes = np.repeat(np.arange(len(speakers)), 6)
        noise = generator.normal(size=(len(codes), 16))
        moved = (np.arange(len(codes)) % 2)[:, None] * line
        return (speakers[codes] + 0.2 * noise + moved).astype(np.float32), codes

    def error_rate(vectors: Vectors) -> float:
        one, two = np.triu_indices(len(vectors), 1)
        scores = (unit_length(vectors) @ unit_length(vectors).T)[one, two]
        return eer(scores, (codes[one] == codes[two]).astype(np.int8))[0]

    cohort, labels = record(generator.normal(size=(40, 16)))
    vectors, codes = record(generator.normal(size=(30, 16)))
    directions = nuisance_directions(cohort, labels, 1)
    assert abs(directions[0] @ line) / np.linalg.norm(line) > 0.95
    assert error_rate(project_out(vectors, directions)) < 0.5 * error_rate(vectors)
    with pytest.raises(DataError, match="several recordings per speaker"):
        nuisance_directions(cohort[::6], labels[::6], 1)
    with pytest.raises(ConfigError, match="`directions` must be from 1 to 15"):
        nuisance_directions(cohort, labels, 16)


def test_score_with_nap(files: Path) -> None:
    codes = np.arange(60) % 12
    others = np.random.default_rng(8).normal(size=(60, 16)).astype(np.float32)
    ids = pa.array([f"stranger-{row}" for row in range(60)])
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(others.ravel()), 16)
    columns = {"utterance": ids, "speaker": [f"stranger{code}" for code in codes], "path": ids}
    pa.parquet.write_table(pa.table({**columns, "embedding": embedding}), files / "cohort.parquet")
    options = {"norm": "nap", "cohort": files / "cohort.parquet", "directions": 2, "draws": 0}
    timbral.score(files / "v.npz", files / "t.txt", files / "n", **options)
    projected = project_out(VECTORS, nuisance_directions(others, codes, 2))
    trials = np.array(all_trials())
    expected = (projected[trials[:, 1]] * projected[trials[:, 2]]).sum(axis=1)
    assert read_scores(files / "n").scores == pytest.approx(expected, abs=1e-5)
    with pytest.raises(DataError, match="does not contain the speakers of the cohort's vectors"):
        timbral.score(files / "v.npz", files / "t.txt", norm="nap", cohort=files / "cohort.npz")


def test_a_cohort_is_of_strangers(files: Path) -> None:
    vectors, trials = files / "v.npz", files / "t.txt"
    with pytest.raises(DataError, match="utterances of the trials are in the cohort"):
        timbral.score(vectors, trials, norm="mean", cohort=vectors)
    for options in ({"norm": "mean"}, {"cohort": files / "cohort.npz"}):
        with pytest.raises(ConfigError, match="need a `cohort`"):
            timbral.score(vectors, trials, **options)
    np.savez(files / "small.npz", a=np.ones(8), b=np.ones(8))
    for norm in ("mean", "as-norm"):
        with pytest.raises(DataError, match="8 numbers, those of the trials 16"):
            timbral.score(vectors, trials, norm=norm, cohort=files / "small.npz")
    with pytest.raises(ConfigError, match="top_k"):
        timbral.score(vectors, trials, norm="as-norm", cohort=files / "cohort.npz", top_k=1)


def test_trials_of_one_recording_are_told(files: Path) -> None:
    with (files / "t.txt").open("a") as file:
        file.write(f"1 {NAMES[0]} {NAMES[0]}\n")
    result = timbral.score(files / "v.npz", files / "t.txt", draws=0)
    assert result.note.startswith("1 trial compares a recording with itself")


def write_cohort(path: Path, speakers: list[str], folder: str) -> None:
    vectors = made_vectors(2)[: len(speakers)].astype(np.float32)
    table = pa.table(
        {
            "utterance": [f"c{row}" for row in range(len(vectors))],
            "speaker": speakers,
            "path": [f"{folder}/{name}/{row}.wav" for row, name in enumerate(speakers)],
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16),
        }
    )
    pa.parquet.write_table(table, path)


def test_a_cohort_with_a_speaker_of_the_trials_is_refused(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the speakers that somebody gives, where the vectors know none, and by their folders."""
    vectors, trials, cohort = files / "v.npz", files / "t.txt", files / "cohort.parquet"
    write_cohort(cohort, ["s03", "x1", "x2"], "/data")
    known = {"norm": "mean", "cohort": cohort, "draws": 0}
    speakers = {name: name[:3] for name in NAMES}
    with pytest.raises(
        DataError, match="speakers of the trials are in the cohort: 1, the first s03"
    ):
        timbral.score(vectors, trials, speakers=speakers, **known)
    others = {name: f"other-{name[:3]}" for name in NAMES}
    assert timbral.score(vectors, trials, speakers=others, **known).note == ""
    assert (
        main(["score", str(vectors), str(trials), "--norm", "mean", "--cohort", str(cohort)]) == 0
    )
    assert "the speakers of the trials are unknown" in (told := capsys.readouterr().err)
    assert "; --speakers can give them" in told
    unknown = timbral.score(vectors, trials, norm="mean", cohort=files / "cohort.npz", draws=0)
    assert "the speakers of the cohort are unknown" in unknown.note


def test_recordings_in_the_folder_of_a_speaker_of_the_cohort_are_refused(files: Path) -> None:
    unit = made_vectors(1)[:4].astype(np.float32)
    paths = [f"/data/{name}/{row}.wav" for row, name in enumerate(("y", "y", "s03", "s03"))]
    columns = {"utterance": paths, "speaker": [""] * 4, "path": paths}
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), 16)
    pa.parquet.write_table(pa.table({**columns, "embedding": embedding}), files / "e.parquet")
    (files / "p.txt").write_text(f"1 {paths[0]} {paths[1]}\n0 {paths[0]} {paths[2]}\n")
    options = {"norm": "mean", "cohort": files / "cohort.parquet", "draws": 0}
    write_cohort(files / "cohort.parquet", ["s03", "x1", "x2"], "/data")
    said = r"in 1 speaker \(the first: s03\) of the cohort"
    with pytest.raises(DataError, match=said):
        timbral.score(files / "e.parquet", files / "p.txt", **options)
    speakers = dict(zip(paths, ("a", "a", "b", "b"), strict=True))
    timbral.score(files / "e.parquet", files / "p.txt", speakers=speakers, **options)
    write_cohort(files / "cohort.parquet", ["s03", "x1", "x2"], "/elsewhere")
    assert timbral.score(files / "e.parquet", files / "p.txt", **options).note


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


def draw_figures(seed: int, speakers: int) -> tuple[Vectors, Ints, Ints, Ints]:
    """Cosines, labels and speakers of all trials of newly made vectors."""
    unit = unit_length(made_vectors(seed, speakers, 1.6))
    first, second = np.triu_indices(len(unit), k=1)
    of = np.arange(len(unit)) // EACH
    scores = (unit[first] * unit[second]).sum(axis=1)
    return scores, (of[first] == of[second]).astype(np.int64), of[first], of[second]


@pytest.mark.slow
def test_intervals_over_speakers_hold_what_they_promise() -> None:
    """In 100 corpora of 20 speakers the interval holds the EER of 400 speakers 95 times or so.

    Intervals that draw trials are too narrow: they hold it far less often.
    """
    everybody = eer(*draw_figures(10_000, 400)[:2])[0]
    held = narrow = 0
    for seed in range(100):
        scores, labels, first, second = draw_figures(seed, 20)
        bootstrap = SpeakerBootstrap(
            RankedTrials.of(scores, labels), first, second, draws=200, seed=seed
        )
        interval = bootstrap.interval(eer_of)
        held += interval.low <= everybody <= interval.high
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, len(scores), (40, len(scores)))
        trials = interval_of(np.array([eer(scores[row], labels[row])[0] for row in rows[:20]]))
        narrow += trials.low <= everybody <= trials.high
    assert held >= 88
    assert narrow < held - 10


def test_bins_of_large_lists_give_the_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels, *sides = draw_figures(3, 20)
    trials = RankedTrials.of(scores, labels)
    exact = SpeakerBootstrap(trials, *sides, draws=50)
    monkeypatch.setattr("timbral.scoring.intervals.QUANTILES", 256)
    binned = SpeakerBootstrap(trials, *sides, draws=50)
    assert len(binned.lows) < len(exact.lows) / 3
    assert binned.values(eer_of) == pytest.approx(exact.values(eer_of), abs=2e-3)
    assert binned.values(min_cllr_of) == pytest.approx(exact.values(min_cllr_of), abs=2e-3)


def test_min_cllr_in_draws_is_that_of_trials_so_often_repeated() -> None:
    """Of tied scores too, of draws without a target trial, and joined one by one."""
    for seed in range(30):
        scores, labels, *sides = draw_figures(seed, 5)
        kept = np.random.default_rng(seed).random(len(scores)) < (0.2 if seed % 3 else 1.0)
        kept[[labels.argmin(), labels.argmax()]] = True
        scores, labels, first, second = (each[kept] for each in (scores, labels, *sides))
        scores = scores.round(2 if seed % 2 else 9)
        trials = RankedTrials.of(scores, labels)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("timbral.scoring.intervals.MIN_SPEAKERS", 2)
            patched.setattr("timbral.scoring.hull.FEW_BLOCKS", 10 if seed % 3 else 10**6)
            found = SpeakerBootstrap(trials, first, second, draws=100).values(min_cllr_of)
        counts = draw_speakers(first, second, 100, 0)
        for times, value in zip(counts, found, strict=True):
            weights = np.where(labels == 1, times[first], times[first] * times[second])
            drawn = np.repeat(scores, weights), np.repeat(labels, weights)
            if len(set(drawn[1])) < 2:
                assert np.isnan(value)
            else:
                expected = convex_hull(SortedScores.of(*drawn)).min_cllr
                assert value == pytest.approx(expected, abs=1e-9)


def test_compare(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_missing_list_of_trials_names_the_one_that_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / "trials.txt").write_text("1 a b\n")
    message = r"trial\.txt: no such file; did you mean .*trials\.txt\?"
    with pytest.raises(DataError, match=message):
        read_trial_list(tmp_path / "trial.txt")


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


def test_scores_are_ordered_by_their_bits() -> None:
    rng = np.random.default_rng(0)
    scores = np.r_[
        rng.normal(size=999), np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, rng.normal(size=9)
    ]
    scores = np.r_[scores, scores[:50]].astype(np.float32)
    for given in (scores, scores.astype(np.float64)):
        order = order_of_scores(given)
        assert np.array_equal(np.sort(order), np.arange(len(scores)))
        assert (np.diff(given[order][1:-1]) >= 0).all()


@pytest.mark.parametrize("most", [2, 15, 16, 200])
def test_weights_are_sums_of_products(most: int) -> None:
    """Whatever integers hold them: of bytes, and of more where speakers are drawn often."""
    rng = np.random.default_rng(most)
    times = rng.integers(0, most + 1, (7, 100))
    first, second, bins = (
        rng.integers(0, 7, 5000),
        rng.integers(0, 7, 5000),
        np.arange(5000) // 1667,
    )
    starts = np.searchsorted(bins, [0, 1, 2, 3])
    expected = np.zeros((4, 100))
    np.add.at(expected, bins, times[first] * times[second])
    assert np.array_equal(_weights(_smallest_integers(times), first, second, starts), expected.T)


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


def test_weights_of_many_ties_are_exact() -> None:
    count = 400_000
    scores = np.r_[np.zeros(count), np.ones(8)]
    first = np.r_[np.zeros(count), np.arange(8)].astype(np.int64)
    second = np.r_[np.ones(count), np.arange(8)].astype(np.int64)
    bootstrap = SpeakerBootstrap(RankedTrials.of(scores, scores), first, second, draws=400)
    drawn = bootstrap.nontargets[:, 0] / count  # how often speaker 0 times how often speaker 1
    assert np.array_equal(drawn, np.round(drawn))
    assert drawn.max() > 2**24 / count / 8


@pytest.mark.parametrize("draws", [-1, 1, 99])
def test_few_draws_say_nothing(files: Path, draws: int) -> None:
    with pytest.raises(ConfigError, match="100 or more, or 0 for no interval"):
        timbral.score(files / "v.npz", files / "t.txt", draws=draws)
    timbral.score(files / "v.npz", files / "t.txt", files / "s.txt", draws=0)
    with pytest.raises(ConfigError, match="100 or more"):
        timbral.compare(files / "s.txt", files / "s.txt", draws=draws)


def test_few_speakers_have_no_interval(files: Path) -> None:
    (files / "two.txt").write_text("1 s00-0 s00-1\n0 s00-0 s01-0\n")
    figures = timbral.score(files / "v.npz", files / "two.txt").figures
    assert figures is not None
    assert figures.eer_interval is None
    assert "needs at least 5 of them; got 2" in figures.interval_note


@pytest.mark.parametrize("line", ["s0-0 12.345", "utt1 rec1 0.00 3.25", "price, 3.25", "1.2 1 0 x"])
def test_files_of_others_are_not_overwritten(files: Path, line: str) -> None:
    (files / "o").write_text(f"{line}\n")
    with pytest.raises(DataError, match="not scores of trials"):
        timbral.score(files / "v.npz", files / "t.txt", files / "o", draws=0)
    of = files / "speakers"
    of.write_text("".join(f"{name} 0.500000\n" for name in NAMES))
    with pytest.raises(DataError, match="is one of the inputs"):
        timbral.score(files / "v.npz", files / "t.txt", of, speakers=of, draws=0)


def test_a_cohort_without_spread(files: Path) -> None:
    np.savez(files / "same.npz", a=VECTORS[0] + 9, b=VECTORS[0] + 9, c=VECTORS[0] + 9)
    with pytest.raises(DataError, match="all the same"):
        timbral.score(files / "v.npz", files / "t.txt", norm="as-norm", cohort=files / "same.npz")


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_vectors_without_a_length_are_an_error(files: Path, factor: float) -> None:
    """Their cosines would all be zero."""
    rows = {name: np.float32(factor) * row for name, row in zip(NAMES, VECTORS, strict=True)}
    np.savez(files / "far.npz", **rows)
    with pytest.raises(DataError, match="too long or too short"):
        timbral.score(files / "far.npz", files / "t.txt")
