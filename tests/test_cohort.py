"""Score normalization: its definitions, and which cohorts are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import timbral
from scored_vectors import NAMES, VECTORS, all_trials, made_vectors, main, write_files
from timbral.embeddings.vectors import project_out, unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Ints, Vectors
from timbral.scoring.metrics import eer
from timbral.scoring.normalization import cohort_statistics, subtract_mean
from timbral.scoring.nuisance import nuisance_directions
from timbral.scoring.score_file import read_scores


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_files(tmp_path)
    return tmp_path


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


def test_a_cohort_without_spread(files: Path) -> None:
    np.savez(files / "same.npz", a=VECTORS[0] + 9, b=VECTORS[0] + 9, c=VECTORS[0] + 9)
    with pytest.raises(DataError, match="all the same"):
        timbral.score(files / "v.npz", files / "t.txt", norm="as-norm", cohort=files / "same.npz")
