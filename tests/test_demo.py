"""The demo's parts; the whole of it runs in `make demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from timbral.data.corpora.registry import scan_corpus
from timbral.demo.run import VOICES, _unseen_voices
from timbral.scoring.trials import read_trials


def test_shipped_voices() -> None:
    rows = scan_corpus("folder", VOICES)
    assert len(rows) == 648
    assert len({row.speaker for row in rows}) == 54
    assert "synthetic" in (VOICES / "README.md").read_text("utf-8")


def test_unseen_voices(tmp_path: Path) -> None:
    trials, unseen = _unseen_voices(tmp_path)
    voices = unseen.read_text().split()
    listed = read_trials(trials)
    assert len(voices) == 14
    assert {Path(trial.first).parts[0] for trial in listed} <= set(voices)
    for trial in listed:
        assert (VOICES / trial.first).exists()
        same = Path(trial.first).parts[0] == Path(trial.second).parts[0]
        assert same == bool(trial.label)


@pytest.mark.slow
def test_demo_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "timbral", "demo", "--output", str(tmp_path / "d")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    second = subprocess.run(command, capture_output=True, text=True, check=True)
    for result in (first, second):
        assert "EER after training" in result.stdout
        assert result.stderr == ""
    for name in ("map.html", "map.png", "embeddings/speakers.parquet", "run/checkpoints/last"):
        assert (tmp_path / "d" / name).exists()
