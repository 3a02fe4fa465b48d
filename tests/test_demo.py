"""The demo's parts; the whole of it runs in `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Ask
from timbral.data.sources import find_utterances
from timbral.demo.shipped import VOICES, num_voices, write_held_out
from timbral.demo.whole_job import _claim
from timbral.errors import DataError
from timbral.io.files import read_json, write_json
from timbral.scoring.trials import read_trials


def test_shipped_voices() -> None:
    rows = find_utterances(VOICES)
    assert len(rows) == 648
    assert len({row.speaker for row in rows}) == num_voices() == 54
    assert "synthetic" in (VOICES / "README.md").read_text("utf-8")


def test_held_out_voices(tmp_path: Path) -> None:
    trials, held_out = write_held_out(tmp_path)
    voices = held_out.read_text().split()
    listed = read_trials(trials)
    assert len(voices) == 14
    assert {Path(trial.first).parts[0] for trial in listed} <= set(voices)
    for trial in listed:
        assert (VOICES / trial.first).exists()
        same = Path(trial.first).parts[0] == Path(trial.second).parts[0]
        assert same == bool(trial.label)


def test_folder_of_another_demo_is_renamed(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    assert _claim(output) is None
    assert _claim(output) is None
    write_json(output / "demo.json", {**read_json(output / "demo.json"), "timbral": "0.0"})
    assert _claim(output) == tmp_path / "demo.1"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(DataError, match="does not contain a demo"):
        _claim(tmp_path / "other")


@pytest.mark.slow
def test_demo_runs_again_in_its_folder(ask: Ask, small_demo: None, tmp_path: Path) -> None:
    for _ in range(2):
        answer = ask("demo", "--output", tmp_path / "d")
        assert answer.code == 0, answer.err
        assert "EER after training" in answer.out
    for name in ("map.html", "map.png", "embeddings/speakers.parquet", "run/checkpoints/last"):
        assert (tmp_path / "d" / name).exists()
