"""Unexpected errors and full disks: one line, an exit code, nothing half written."""

from __future__ import annotations

import errno
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import safetensors.numpy
import torch

from timbral import api
from timbral.cli import main as cli
from timbral.inference.embedder import Embedder
from timbral.io import files
from timbral.io.files import atomic_folder, atomic_write

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is free any more."""
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage(1, 1, 0))


def test_unexpected_error_is_one_line_and_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: object) -> int:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_run", fail)
    monkeypatch.setattr(sys, "argv", ["timbral", "embed", "--comet-key", "secret"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 70
    [log] = tmp_path.glob("timbral-error-*.log")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected ZeroDivisionError: two")
    assert log.name in line
    assert "in fail" in log.read_text()
    assert "secret" not in log.read_text()


def test_any_library_s_failure_on_a_full_disk_is_that(tmp_path: Path, full_disk: None) -> None:
    for write in (atomic_write, atomic_folder):
        with pytest.raises(OSError, match="disk is full") as raised, write(tmp_path / "x"):
            raise RuntimeError("PytorchStreamWriter failed writing file")
        assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["torch", "safetensors"])
def test_embed_on_a_full_disk(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    def fail(*given: object) -> None:
        monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: Usage(1, 1, 0))
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", fail)
    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    embedder: Embedder = api.load_encoder(run, device="cpu")
    with pytest.raises(OSError, match="disk is full"):
        api.embed(embedder, voices, tmp_path / "out", format=format)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        ".lock",
        "failures.jsonl",
    }


def test_checkpoint_on_a_full_disk(run: Path, tmp_path: Path, full_disk: None) -> None:
    embedder = api.load_encoder(run, device="cpu")
    embedder.save(tmp_path / "saved")  # it fits
    shutil.rmtree(tmp_path / "saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", _fail)
        with pytest.raises(OSError, match="disk is full"):
            embedder.save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def _fail(*given: object) -> None:
    raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
