"""Evaluations on what the encoder was trained on are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import timbral
from conftest import Ask
from timbral.config.schema import TrainConfig
from timbral.data.prepared.prepare import prepare
from timbral.data.training_list import TRAINING_LIST, TrainingList
from timbral.errors import DataError


def write_trials(path: Path, names: list[str]) -> Path:
    pairs = [(a, b) for a in names for b in names if a < b]
    path.write_text("".join(f"{a.split('/')[0] == b.split('/')[0]:d} {a} {b}\n" for a, b in pairs))
    return path


@pytest.fixture
def trained(
    voices: Path, tmp_path: Path, small_config: Callable[..., TrainConfig]
) -> tuple[Path, list[str], Path]:
    """A run that trained on five of the eight voices, these voices, and the prepared data."""
    prepare(voices, tmp_path / "data")
    names = sorted(path.name for path in voices.iterdir())
    (tmp_path / "excluded").write_text(f"{names[0]}\n")
    (tmp_path / "validation").write_text(f"{names[1]}\n{names[2]}\n")
    timbral.train(
        small_config(steps=1), tmp_path / "data", tmp_path / "run", device="cpu",
        exclude_speakers=tmp_path / "excluded", validation_speakers=tmp_path / "validation",
    )  # fmt: skip
    return tmp_path / "run", names[3:], tmp_path / "data"


def test_seen_speakers_and_recordings_are_refused(
    trained: tuple[Path, list[str], Path], voices: Path, tmp_path: Path, ask: Ask
) -> None:
    run, seen, _ = trained
    table = TrainingList.read(run / TRAINING_LIST).table
    assert table["speaker"].unique().to_pylist() == seen
    assert len(table) == 6 * len(seen)
    files = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    unseen = write_trials(tmp_path / "unseen", files[:18:2])
    assert timbral.evaluate(run, unseen, voices, draws=0).num_seen_speakers == 0
    some = write_trials(tmp_path / "some", files[12:24:3])
    words = ["evaluate", run, some, "--root", voices, "--output", tmp_path / "out"]
    refused = ask(*words)
    assert refused.code == 2
    assert f"1 speaker (the first: {seen[0]}) and 2 recordings (the first: " in refused.err
    assert "--allow-seen" in refused.err
    assert not (tmp_path / "out").exists()
    allowed = ask(*words, "--allow-seen")
    assert allowed.code == 0, allowed.err
    assert "trained on 1 speakers and 2 recordings of these trials" in allowed.err
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (written["num_seen_speakers"], written["num_seen_recordings"]) == (1, 2)
    assert "say nothing about new speakers" in (tmp_path / "out" / "report.html").read_text()


def test_seen_speakers_in_other_recordings(
    trained: tuple[Path, list[str], Path], voices: Path, tmp_path: Path
) -> None:
    """New recordings in the folder of a speaker, or a list of speakers that names one."""
    run, seen, _ = trained
    known = TrainingList.read(run / TRAINING_LIST)
    assert known.seen([f"{voices}/{seen[0]}/new.ogg"], set()).speakers == (seen[0],)
    assert known.seen([f"{voices}/{seen[0]}/2019/new.ogg"], set()).speakers == (seen[0],)
    assert not known.seen([f"{voices}/new/{seen[0]}.ogg", "/elsewhere/a.ogg"], {"nobody"})
    assert known.seen([f"/copy/{seen[0]}/a.ogg"], {"nobody", seen[1]}).speakers == (seen[1],)


def test_a_run_knows_what_its_first_weights_were_trained_on(
    trained: tuple[Path, list[str], Path],
    tmp_path: Path,
    small_config: Callable[..., TrainConfig],
) -> None:
    run, seen, data = trained
    (tmp_path / "others").write_text("\n".join(seen[1:]))
    timbral.train(
        small_config(steps=1), data, tmp_path / "tuned", device="cpu", init=run,
        exclude_speakers=tmp_path / "others", validation_speakers=0,
    )  # fmt: skip
    found = TrainingList.read(tmp_path / "tuned" / TRAINING_LIST).table
    assert len(found["speaker"].unique()) == 8
    assert set(seen) < set(found["speaker"].to_pylist())


def test_damaged_list_is_an_error(tmp_path: Path) -> None:
    (tmp_path / TRAINING_LIST).write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as the list of what a run trained on"):
        TrainingList.read(tmp_path / TRAINING_LIST)
