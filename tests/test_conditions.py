"""Figures by duration, gender, session and other columns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import timbral
from timbral.errors import ConfigError, DataError
from timbral.scoring.condition_figures import Condition
from timbral.scoring.metrics import eer
from timbral.scoring.score_file import read_scores

NUM_SPEAKERS, EACH = 12, 6
RNG = np.random.default_rng(5)
VECTORS = np.repeat(RNG.normal(size=(NUM_SPEAKERS, 8)), EACH, axis=0)
VECTORS = (VECTORS + RNG.normal(size=VECTORS.shape)).astype(np.float32)
NAMES = [f"s{row // EACH:02d}-{row % EACH}" for row in range(len(VECTORS))]
SPEAKERS = [name[:3] for name in NAMES]
SECONDS = RNG.choice([1.0, 2.0, 3.0, 9.0], size=len(NAMES))
SESSIONS = [str(row % EACH // 2) for row in range(len(NAMES))]
GENDERS = {speaker: "fm"[int(speaker[1:]) % 2] for speaker in SPEAKERS}
PAIRS = [(a, b) for a in range(len(NAMES)) for b in range(a + 1, len(NAMES))]
LABELS = np.array([SPEAKERS[a] == SPEAKERS[b] for a, b in PAIRS])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    columns = {
        "utterance": NAMES, "speaker": SPEAKERS, "session": SESSIONS, "path": NAMES,
        "duration_seconds": SECONDS, "channel": ["tel" if row % 3 else "mic" for row in range(72)],
        "embedding": pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 8)),
    }  # fmt: skip
    pa.parquet.write_table(pa.table(columns), tmp_path / "v.parquet")
    np.savez(tmp_path / "v.npz", **dict(zip(NAMES, VECTORS, strict=True)))
    lines = (
        f"{int(same)} {NAMES[a]} {NAMES[b]}\n" for (a, b), same in zip(PAIRS, LABELS, strict=True)
    )
    (tmp_path / "t").write_text("".join(lines))
    (tmp_path / "spk2gender").write_text("".join(f"{s} {g}\n" for s, g in GENDERS.items()))
    (tmp_path / "utt2spk").write_text("".join(f"{n} {n[:3]}\n" for n in NAMES))
    (tmp_path / "meta.csv").write_text("path,mic\n" + "".join(f"{n},{n[-1]}\n" for n in NAMES))
    return tmp_path


def by_value(conditions: tuple[Condition, ...], column: str) -> dict[str, Condition]:
    return {each.value: each for each in conditions if each.column == column}


def test_figures_are_those_of_the_trials_of_a_condition(files: Path) -> None:
    """Whether values come from the vectors' table, from maps or from another table."""
    options = {"draws": 100, "speakers": files / "utt2spk"}
    done = timbral.score(
        files / "v.parquet", files / "t", files / "s.txt", **options,
        by={"duration": None, "session": None, "channel": None, "gender": files / "spk2gender"},
    )  # fmt: skip
    scores, figures = read_scores(files / "s.txt").scores, done.figures
    assert figures is not None

    def check(condition: Condition, rows: np.ndarray) -> None:
        assert condition.num_trials == rows.sum()
        assert condition.num_targets == (rows & LABELS).sum()
        accepted = scores >= figures.threshold
        if (rows & LABELS).any():
            assert condition.miss == pytest.approx(1 - accepted[rows & LABELS].mean(), abs=0.01)
        if (rows & ~LABELS).any():
            expected = accepted[rows & ~LABELS].mean()
            assert condition.false_alarm == pytest.approx(expected, abs=0.01)
        if (rows & LABELS).any() and (rows & ~LABELS).any():
            assert condition.eer == pytest.approx(eer(scores[rows], LABELS[rows])[0], abs=1e-3)
            assert condition.eer_interval is not None
            assert condition.eer_interval.low <= condition.eer <= condition.eer_interval.high
            assert set(condition.min_dcf) == {"0.01", "0.05"}
        else:
            assert condition.eer is None

    first, second = np.array(PAIRS).T
    shorter = np.minimum(SECONDS[first], SECONDS[second])
    durations = by_value(done.conditions, "duration")
    assert list(durations) == ["0-2 s", "2-4 s", "8+ s"]
    check(durations["0-2 s"], shorter < 2)
    check(durations["2-4 s"], (shorter >= 2) & (shorter < 4))
    check(durations["8+ s"], shorter >= 8)
    sessions = by_value(done.conditions, "session")
    same = np.array([SESSIONS[a] == SESSIONS[b] for a, b in PAIRS])
    check(sessions["same"], same | ~LABELS)
    check(sessions["different"], ~same | ~LABELS)
    genders = by_value(done.conditions, "gender")
    assert list(genders) == ["same", "different", "f / f", "m / m"]
    of = np.array([GENDERS[speaker] for speaker in SPEAKERS])
    check(genders["same"], of[first] == of[second])
    check(genders["different"], of[first] != of[second])
    check(genders["m / m"], (of[first] == "m") & (of[second] == "m"))
    assert genders["m / m"].num_speakers == NUM_SPEAKERS / 2
    assert list(by_value(done.conditions, "channel")) == [
        "same",
        "different",
        "mic / mic",
        "tel / tel",
    ]
    (files / "utt2dur").write_text(
        "".join(f"{n} {s}\n" for n, s in zip(NAMES, SECONDS, strict=True))
    )
    sources = ["duration=utt2dur", "gender=spk2gender", "mic=meta.csv"]
    mapped = timbral.score(
        files / "v.npz", files / "t", **options,
        by={word.split("=")[0]: files / word.split("=")[1] for word in sources},
    )  # fmt: skip
    assert by_value(mapped.conditions, "duration") == durations
    assert by_value(mapped.conditions, "gender") == genders
    assert list(by_value(mapped.conditions, "mic")) == ["same", "different"]  # of six microphones


def test_unknown_values_are_counted(files: Path) -> None:
    some = {speaker: gender for speaker, gender in GENDERS.items() if speaker != "s00"}
    done = timbral.score(files / "v.parquet", files / "t", draws=0, by={"gender": some})
    unknown = by_value(done.conditions, "gender")["unknown"]
    assert unknown.num_trials == sum("s00" in (SPEAKERS[a], SPEAKERS[b]) for a, b in PAIRS)


def test_mistakes_are_explained(files: Path) -> None:
    def score(*by: str) -> object:
        return timbral.score(files / "v.npz", files / "t", draws=0, by=by)

    with pytest.raises(ConfigError, match="COLUMN or COLUMN=FILE"):
        score("gender=")
    with pytest.raises(DataError, match="the vectors have no such column"):
        score("duration")
    with pytest.raises(DataError, match="has no column 'gender'; it has: path, mic"):
        score(f"gender={files / 'meta.csv'}")
    with pytest.raises(DataError, match=r"no recording of the list has a value; .* s00-0, .* s00"):
        score(f"gender={files / 'spk2gender'}")  # nothing says who speaks
    (files / "utt2dur").write_text("s00-0 long\n")
    with pytest.raises(DataError, match="not a number of seconds"):
        score(f"duration={files / 'utt2dur'}")


def test_evaluate_reports_figures_by_condition(
    run: Path, voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ask: object
) -> None:
    timbral.trials(voices, tmp_path / "t.txt", per_speaker=10)
    names = sorted(path.name for path in voices.iterdir())
    (tmp_path / "genders").write_text("".join(f"{name} {name[1]}\n" for name in names))
    answer = ask(
        "evaluate", run, tmp_path / "t.txt", "--root", voices, "--output", tmp_path / "out",
        "--speakers", f"{tmp_path}/t.txt.utt2spk", "--draws", 100,
        "--by", "duration", f"gender={tmp_path / 'genders'}",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert "by duration  trials  targets  speakers" in answer.out
    assert "\nf / f " in answer.out
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())["conditions"]
    values = {(each["column"], each["value"]) for each in written}
    assert ("gender", "m / m") in values
    assert any(column == "duration" for column, _ in values)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h2>By duration</h2>" in page
    assert "f / f" in page
