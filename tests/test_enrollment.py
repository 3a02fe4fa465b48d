"""Trials of a model, which is enrolled with several recordings, and a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import timbral
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.scoring.enrollment import read_enrollment
from timbral.scoring.normalization import cohort_statistics, subtract_mean
from timbral.scoring.score_file import read_scores
from timbral.scoring.trial_list import read_trial_list

NUM_SPEAKERS, EACH = 8, 5
RNG = np.random.default_rng(3)
VECTORS = np.repeat(RNG.normal(size=(NUM_SPEAKERS, 12)), EACH, axis=0)
VECTORS = (VECTORS + 1.3 * RNG.normal(size=VECTORS.shape) + 0.5).astype(np.float32)
COHORT = RNG.normal(size=(30, 12)).astype(np.float32)
NAMES = [f"s{row // EACH}-{row % EACH}" for row in range(len(VECTORS))]
ENROLLED = {
    f"m{speaker}": [EACH * speaker + k for k in range(1 + speaker % 3)] for speaker in range(8)
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    np.savez(tmp_path / "v.npz", **dict(zip(NAMES, VECTORS, strict=True)))
    np.savez(tmp_path / "cohort.npz", **{f"c{row}": vector for row, vector in enumerate(COHORT)})
    lines = (
        f"{model} {' '.join(NAMES[row] for row in rows)}\n" for model, rows in ENROLLED.items()
    )
    (tmp_path / "enroll").write_text("".join(lines))
    lines = (
        f"{model} {NAMES[test]} {'tgt' if model[1] == NAMES[test][1] else 'imp'}\n"
        for model in ENROLLED
        for test in range(len(NAMES))
        if test % EACH > 2
    )
    (tmp_path / "trials").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize("average", ["vectors", "scores"])
@pytest.mark.parametrize("norm", ["none", "mean", "as-norm"])
def test_models_are_averages(files: Path, average: str, norm: str) -> None:
    result = timbral.score(
        files / "v.npz", files / "trials", files / "s.txt", norm=norm, top_k=10, draws=100,
        cohort=None if norm == "none" else files / "cohort.npz",
        enrollment=files / "enroll", enrollment_average=average,
    )  # fmt: skip
    unit = subtract_mean(VECTORS, COHORT) if norm == "mean" else unit_length(VECTORS)

    def score(one: np.ndarray, other: np.ndarray) -> float:
        cosine = one @ other
        if norm != "as-norm":
            return float(cosine)
        means, spreads = cohort_statistics(np.stack([one, other]), COHORT, 10).T
        return float(np.mean((cosine - means) / spreads))

    expected = []
    for line in (files / "trials").read_text().splitlines():
        model, test, _ = line.split()
        rows, other = unit[ENROLLED[model]], unit[NAMES.index(test)]
        if average == "vectors":
            expected.append(score(unit_length(rows.mean(axis=0)), other))
        else:
            expected.append(np.mean([score(row, other) for row in rows]))
    written = read_scores(files / "s.txt")
    assert written.scores == pytest.approx(np.array(expected), abs=2e-5)
    assert (files / "s.txt").read_text().split()[1:4] == ["1", "m0", "s0-3"]
    assert result.figures is not None
    assert (result.figures.num_trials, result.figures.num_speakers) == (8 * 16, 8)
    assert result.figures.eer_interval is not None


def test_lists_of_enrollments(tmp_path: Path) -> None:
    path = tmp_path / "e"
    for text in ("m a b\nn c\n", "m a\nn c\nm b\n", "# x\nm\ta\tb\nn\tc\n",
                 "modelid\tsegmentid\tside\nm\ta\ta\nm\tb\ta\nn\tc\tb\n",
                 "modelid\tside\tsegmentid\nm\ta\ta\nm\ta\tb\nn\tb\tc\n",
                 "side segmentid modelid\na a m\na b m\nb c n\n"):  # fmt: skip
        path.write_text(text)
        found = read_enrollment(path)
        assert found.names.to_pylist() == ["m", "n"]
        assert found.recordings.to_pylist() == ["a", "b", "c"]
        assert found.starts.tolist() == [0, 2, 3]
    mistakes = (
        ("m\n", "e:1: a line should be"),
        ("m a\nm a\n", "e:2"),
        ("", "no models"),
        ("modelid\tside\tsegmentid\nm\ta\n", "e:2: a line should be"),
        ("side\tmodelid\tsegmentid\na\n", "e:2: a line should be"),
    )
    for text, words in mistakes:
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_enrollment(path)


def test_trials_below_the_heading_of_nist(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    rows = "m\ta\ta\ttarget\t3\nn\ta\ta\tnontarget\t1\n"
    for end in ("\n", "\r\n"):
        text = f"modelid\tsegmentid\tside\ttargettype\tnum_enroll_segs\n{rows}"
        path.write_bytes(text.replace("\n", end).encode())
        found = read_trial_list(path)
        assert found.names.to_pylist() == ["m", "n", "a"]
        assert [(each.label, each.first, each.second) for each in found.trials()] == [
            (1, "m", "a"),
            (0, "n", "a"),
        ]
    path.write_text("targettype\tsegmentid\tmodelid\nnontarget\ta\tm\n")
    (trial,) = read_trial_list(path).trials()
    assert (trial.label, trial.first, trial.second) == (0, "m", "a")
    path.write_text("modelid\tsegmentid\tside\nm\ta\ta\nm\tb\tb\n")
    assert [each.label for each in read_trial_list(path).trials()] == [-1, -1]
    for text, words in (
        ("modelid\tsegmentid\tside\nm\ta\ta\nn\ta\tb\n", "two sides of a, which has only one"),
        ("modelid\tsegmentid\ttargettype\nm\ta\tyes\n", "targettype must be target or nontarget"),
        ("modelid\tsegmentid\tside\n", "no trials below its heading"),
        (
            "modelid\tsegmentid\tside\tside\nm\ta\ta\ta\n",
            "two columns of its heading are called 'side'",
        ),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_trial_list(path)
    path.write_text("modelid\tsegmentid\tside\nm\ta\ta\nm\tb\ta\nn\ta\tb\n")
    with pytest.raises(DataError, match="contains two sides of a"):
        read_enrollment(path)


def test_mistakes_are_explained(files: Path) -> None:
    def score(**options: object) -> object:
        return timbral.score(
            files / "v.npz", files / "trials", enrollment=files / "enroll", **options
        )

    speakers = {**{name: name[:2] for name in NAMES}, **{f"m{n}": f"s{n}" for n in range(8)}}
    figures = [score(speakers=given, draws=100).figures for given in (
        speakers, {name: name[:2] for name in NAMES})]  # fmt: skip
    assert figures[0] == figures[1]
    with pytest.raises(DataError, match="m2 is enrolled with recordings of s2 and of s9"):
        score(speakers={**{name: name[:2] for name in NAMES}, "s2-1": "s9"})
    with (files / "trials").open("a") as file:
        file.write("m9 s0-3 imp\n")
    with pytest.raises(DataError, match="1 models of the trials are not enrolled, the first m9"):
        score()
    (files / "trials").write_text("m0 s0-3 tgt\nm1 m0 imp\n")
    with pytest.raises(DataError, match="m0 is both a model and a recording"):
        score()


def test_a_model_without_one_of_its_recordings_is_not_scored(files: Path) -> None:
    with (files / "enroll").open("a") as file:
        file.write("m3 missing\n")
    with pytest.raises(DataError, match=r"1 of 32 recordings.*16 of 128 trials.*'missing'"):
        timbral.score(files / "v.npz", files / "trials", enrollment=files / "enroll")
    result = timbral.score(
        files / "v.npz", files / "trials", enrollment=files / "enroll", skip_missing=True, draws=0
    )
    assert (result.num_trials, result.missing) == (112, ("missing",))


def test_evaluate_takes_models_of_several_recordings(
    run: Path, voices: Path, tmp_path: Path
) -> None:
    of = {voice.name: sorted(voice.glob("*.ogg")) for voice in sorted(voices.iterdir())}
    names = {
        voice: [str(path.relative_to(voices)) for path in paths] for voice, paths in of.items()
    }
    (tmp_path / "e").write_text("".join(f"{v} {' '.join(n[:3])}\n" for v, n in names.items()))
    lines = (f"{int(v == w)} {v} {n[5]}\n" for v in names for w, n in names.items())
    (tmp_path / "t").write_text("".join(lines))
    result = timbral.evaluate(
        run, tmp_path / "t", voices, tmp_path / "out", enrollment=tmp_path / "e"
    )
    assert (result.num_trials, result.num_speakers) == (64, 8)
    encoder = timbral.load_encoder(run, device="cpu")
    first = next(iter(of.values()))
    vectors = encoder.encode(first[:3]), encoder.encode(first[5])
    expected = unit_length(vectors[0].mean(axis=0)) @ vectors[1]
    assert read_scores(tmp_path / "out").scores[0] == pytest.approx(expected, abs=1e-5)
    assert "<audio" in (tmp_path / "out" / "report.html").read_text() or result.eer == 0
    with pytest.raises(DataError, match="another scoring"):
        timbral.evaluate(
            run, tmp_path / "t", voices, tmp_path / "out",
            enrollment=tmp_path / "e", enrollment_average="scores",
        )  # fmt: skip
