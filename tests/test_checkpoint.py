"""Checkpoints: strict, whole, and unable to run code."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from conftest import files_up_to
from timbral import api
from timbral.checkpoints.checkpoint import Checkpoint, find_checkpoint, save_checkpoint
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.errors import CheckpointError, ConfigError


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_run_folder_stands_for_its_best_checkpoint(run: Path) -> None:
    by_run = find_checkpoint(run)
    by_folder = find_checkpoint(by_run.folder)
    assert by_run == by_folder
    assert by_run.weights_sha256 == by_folder.weights_sha256
    assert len(by_run.weights_sha256) == 64


def test_files_of_weights_may_be_read_as_others_are(run: Path) -> None:
    """safetensors would let their owner read them alone."""
    folder = find_checkpoint(run).folder
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_without_best_the_last_checkpoint_is_used(copy: Path) -> None:
    (copy / "checkpoints" / "best").unlink()
    assert find_checkpoint(copy).step == 4


def test_pointer_to_a_missing_folder_is_ignored(copy: Path) -> None:
    (copy / "checkpoints" / "best").write_text("step-99\n")
    assert find_checkpoint(copy).step == 4


@pytest.mark.parametrize("name", ["none", "empty"])
def test_other_folders_are_no_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"a run folder .* is needed"):
        api.load_encoder(tmp_path / name)


def test_weights_of_another_encoder_are_an_error(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    metadata = json.loads((folder / "checkpoint.json").read_text())
    edit(folder, config={**metadata["config"], "encoder": {"name": "lstm"}})
    with pytest.raises(
        CheckpointError, match=r"do not fit this LstmEncoder: lstm\.weight_ih_l0 is missing"
    ):
        load_network(find_checkpoint(copy))


def test_wrong_shapes_are_an_error(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["encoder.linear.bias"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"linear\.bias has shape \(3,\), the model has \(16,\)"
    ):
        load_network(find_checkpoint(copy))


def test_truncated_weights_are_an_error(copy: Path) -> None:
    path = find_checkpoint(copy).folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_network(find_checkpoint(copy))


def test_unknown_formats_and_damaged_json_are_errors(copy: Path) -> None:
    folder = find_checkpoint(copy).folder
    edit(folder, format=99)
    with pytest.raises(CheckpointError, match=r"checkpoint format 99; .* format 1; update timbral"):
        find_checkpoint(copy)
    (folder / "checkpoint.json").write_text("{")
    with pytest.raises(CheckpointError, match="not readable JSON"):
        find_checkpoint(copy)


def test_numbers_of_another_kind_are_an_error(copy: Path) -> None:
    path = find_checkpoint(copy).weights_path
    tensors = safetensors.torch.load_file(path)
    for value, words in (
        (torch.full((16,), float("nan")), r"linear\.bias contains numbers that are not finite"),
        (torch.zeros(16, dtype=torch.int64), r"linear\.bias contains torch\.int64, the model"),
    ):
        safetensors.torch.save_file({**tensors, "encoder.linear.bias": value}, path)
        with pytest.raises(CheckpointError, match=words):
            load_network(find_checkpoint(copy))
    half = {name: tensor.half() for name, tensor in tensors.items() if tensor.is_floating_point()}
    safetensors.torch.save_file({**tensors, **half}, path)
    edit(path.parent, weights_sha256="")  # as of a file that was changed on purpose
    assert load_network(find_checkpoint(copy)).embedding_dim == 16


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "a JSON object is needed, got list"),
        ({"format": 1}, "step is missing"),
        ({"format": True}, "format should be a whole number, got True"),
        ({"format": 1, "step": -1}, "step must be at least 0: -1"),
        ({"step": "4"}, "step should be a whole number, got '4'"),
        ({"config": None}, "config should be an object, got None"),
        ({"config": {"encoder": {"name": ["lstm"]}}}, "config"),
        (
            {"config": {"encoder": {"name": "mine"}}},
            "timbral has no encoder 'mine'; register its class",
        ),
        ({"config": {"schedule": {"stepz": 1}}}, "did you mean 'steps'"),
        ({"config": {"loss": {"name": ["ge2e"]}}}, "config"),
        ({"preprocessing": {"trim": 3}}, "preprocessing: trim: should be str, got 3"),
        ({"preprocessing": {"trim": "x"}}, "unknown trim 'x'"),
        ({"training_state": [1]}, "training_state should be an object"),
        ({"name": 1}, "name should be a string"),
        ({"uninitialized_prefixes": [""]}, "uninitialized_prefixes should contain strings, got ''"),
    ],
)
def test_unusable_metadata_is_an_error(copy: Path, content: object, words: str) -> None:
    folder = find_checkpoint(copy).folder
    path = folder / "checkpoint.json"
    if isinstance(content, dict) and "format" not in content:
        edit(folder, **content)
    else:
        path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words) as raised:
        find_checkpoint(copy)
    assert str(path) in str(raised.value)


def test_unbuildable_encoders_are_errors(copy: Path) -> None:
    with pytest.raises(ConfigError, match=r"config of an encoder is needed, got dict; allowed: Ca"):
        build_encoder({"name": "lstm"})
    folder = find_checkpoint(copy).folder
    metadata = json.loads((folder / "checkpoint.json").read_text())
    encoder = {**metadata["config"]["encoder"], "embedding_dim": 10**15}
    edit(folder, config={**metadata["config"], "encoder": encoder})
    with pytest.raises(CheckpointError, match=r"embedding_dim must be in \[1, 65536\]"):
        load_network(find_checkpoint(copy))


def test_existing_checkpoint_is_replaced_whole(copy: Path) -> None:
    checkpoint = find_checkpoint(copy)
    network = load_network(checkpoint)
    half_written = checkpoint.folder.with_name(f".{checkpoint.folder.name}.writing")
    half_written.mkdir()
    (half_written / "left-by-a-killed-process").touch()
    save_checkpoint(replace(checkpoint, name="again"), {"encoder": network})
    assert Checkpoint.read(checkpoint.folder).name == "again"
    names = sorted(path.name for path in checkpoint.folder.iterdir())
    assert names == ["checkpoint.json", "model.safetensors"]
    assert not list(checkpoint.folder.parent.glob(".*"))


def test_full_disk_is_an_error_and_leaves_the_earlier_checkpoint(copy: Path) -> None:
    checkpoint = find_checkpoint(copy)
    network = load_network(checkpoint)
    before = checkpoint.weights_sha256
    refused = pytest.raises(OSError, match=r"files of this size are not allowed here .*step-4")
    with files_up_to(5000), refused:
        save_checkpoint(checkpoint, {"encoder": network})
    find_checkpoint(copy).check_weights()
    assert checkpoint.weights_sha256 == before
    assert not list(checkpoint.folder.parent.glob(".*"))


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
