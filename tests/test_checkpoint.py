"""Checkpoints: strict, whole, and unable to run code."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from timbral import api
from timbral.checkpoints.checkpoint import find_checkpoint, load_network
from timbral.errors import CheckpointError


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_run_and_checkpoint_folder_are_the_same(run: Path) -> None:
    by_run = find_checkpoint(run)
    by_folder = find_checkpoint(by_run.folder)
    assert by_run == by_folder
    assert by_run.weights_sha256 == by_folder.weights_sha256
    assert len(by_run.weights_sha256) == 64


def test_last_is_taken_without_best(copy: Path) -> None:
    (copy / "checkpoints" / "best").unlink()
    assert find_checkpoint(copy).step == 4


def test_a_pointer_to_nothing_is_passed_over(copy: Path) -> None:
    (copy / "checkpoints" / "best").write_text("step-99\n")
    assert find_checkpoint(copy).step == 4


@pytest.mark.parametrize("name", ["none", "empty"])
def test_not_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"a run folder .* is needed"):
        api.load_encoder(tmp_path / name)


def test_another_encoder_is_named(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    about = json.loads((folder / "checkpoint.json").read_text())
    edit(folder, config={**about["config"], "encoder": {"name": "lstm"}})
    with pytest.raises(
        CheckpointError, match=r"of another LstmEncoder: lstm\.weight_ih_l0 is missing"
    ):
        load_network(find_checkpoint(copy))


def test_wrong_shapes_are_named(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["encoder.linear.bias"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"linear\.bias has shape \(3,\), the model \(16,\)"):
        load_network(find_checkpoint(copy))


def test_truncated_weights(copy: Path) -> None:
    path = find_checkpoint(copy).folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_network(find_checkpoint(copy))


def test_other_formats_and_broken_json(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    edit(folder, format=99)
    with pytest.raises(CheckpointError, match="checkpoint format 99"):
        find_checkpoint(copy)
    (folder / "checkpoint.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        find_checkpoint(copy)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(Bomb.target),))  # type: ignore[attr-defined]


def test_a_pickle_is_never_run(copy: Path, tmp_path: Path) -> None:
    Bomb.target = str(tmp_path / "exploded")  # type: ignore[attr-defined]
    bomb = pickle.dumps(Bomb())
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "the bomb works"
    (tmp_path / "exploded").unlink()
    folder = find_checkpoint(copy).folder
    for name in ("model.safetensors", "optimizer.safetensors"):
        (folder / name).write_bytes(bomb)
    with pytest.raises(CheckpointError):
        load_network(find_checkpoint(copy))
    assert not (tmp_path / "exploded").exists()
