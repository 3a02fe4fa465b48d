"""Resuming: from a broken checkpoint's neighbor, from a named checkpoint, from weights alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.checkpoints.published import SHIPPED
from timbral.config.schema import TrainConfig
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.errors import CheckpointError, ConfigError, TrainingError
from timbral.losses.margin import AamConfig

Make = Callable[..., TrainConfig]


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    path = run / "checkpoints" / f"step-{step}" / "model.safetensors"
    tensors: dict[str, torch.Tensor] = safetensors.torch.load_file(path)
    return tensors


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def go(store: Store) -> Callable[..., api.TrainSummary]:
    def train(
        config: TrainConfig, output: Path, data: Path | None = None, **options: object
    ) -> api.TrainSummary:
        options = {"validation_speakers": "2", "device": "cpu", **options}
        return api.train(config, data or store.folder, output, **options)  # type: ignore[arg-type]

    return train


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five other voices."""
    root = tmp_path_factory.mktemp("others")
    for voice in sorted(VOICES.glob("*/"))[3::11]:
        (root / "corpus" / voice.name).mkdir(parents=True)
        for path in sorted(voice.glob("*.ogg"))[:5]:
            (root / "corpus" / voice.name / path.name).symlink_to(path)
    prepare(scan_corpus("folder", root / "corpus"), root / "data", Preprocessing())
    return root / "data"


def test_a_broken_checkpoint_is_passed_over_with_a_warning(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path
) -> None:
    config = small_config(steps=6, save_every=2, keep_last_n=9)
    go(config, tmp_path / "whole")
    go(config, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / "step-6" / "optimizer.safetensors").write_bytes(b"half")
    (checkpoints / ".step-8.writing").mkdir()
    shutil.copytree(checkpoints / "step-2", checkpoints / "step-2-kept")  # a user's own copy
    with pytest.warns(UserWarning, match="ignored") as warned:
        assert go(config, tmp_path / "run").resumed_from == 4
    messages = "\n".join(str(warning.message) for warning in warned)
    assert "checkpoint step-6 is ignored" in messages
    assert ".step-8.writing was left incomplete" in messages
    assert (checkpoints / "step-2-kept").is_dir()
    shutil.rmtree(checkpoints / "step-2-kept")
    assert "step-6 is ignored" in (tmp_path / "run" / "worker_0.log").read_text()
    assert same(weights(tmp_path / "run", 6), weights(tmp_path / "whole", 6))
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4, 5, 6]
    for folder in checkpoints.glob("step-*"):
        (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="none of 4 checkpoints can be read"):
        go(config, tmp_path / "run")


def test_the_best_score_survives(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", small_config(steps=2, validate_every=1, save_every=1)
    go(config, run)
    path = run / "checkpoints" / "step-2" / "checkpoint.json"
    metadata = json.loads(path.read_text())
    metadata["training_state"]["best_score"] = 0.0
    path.write_text(json.dumps(metadata))
    best = (run / "checkpoints" / "best").read_text()
    assert go(small_config(steps=4, validate_every=1, save_every=1), run).validation_eer == 0.0
    assert (run / "checkpoints" / "best").read_text() == best


def test_a_named_checkpoint_beats_what_the_folder_holds(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path
) -> None:
    """Later checkpoints are renamed; the metrics hold each step once."""
    run, config = tmp_path / "run", small_config(steps=6, save_every=2, keep_last_n=9)
    go(config, run)
    kept = weights(run, 6)
    done = go(config, run, checkpoint_path=run / "checkpoints" / "step-2")
    assert done.resumed_from == 2
    assert same(weights(run, 6), kept)
    names = {path.name for path in (run / "checkpoints").iterdir() if path.is_dir()}
    assert {"superseded-step-4", "superseded-step-6", "step-4", "step-6"} <= names
    assert steps_of(run) == [1, 2, 3, 4, 5, 6]
    assert go(config, run).resumed_from == 6, "without it the run is simply continued"
    into_new = go(config, tmp_path / "new", checkpoint_path=run / "checkpoints" / "step-4")
    assert into_new.resumed_from == 4
    assert same(weights(tmp_path / "new", 6), kept)
    assert (tmp_path / "new" / "checkpoints" / "best").exists()


def test_a_named_checkpoint_takes_other_data_and_settings(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path, other_data: Path
) -> None:
    """A loss with class weights starts from scratch for other speakers; the encoder is resumed."""
    config = replace(small_config(steps=3), loss=AamConfig())
    config = replace(config, data=replace(config.data, speakers_per_batch=3))
    go(config, tmp_path / "a")
    there = weights(tmp_path / "a", 3)
    more = replace(config, schedule=replace(config.schedule, steps=4))
    more = replace(more, optimizer=replace(more.optimizer, learning_rate=1e-12))
    done = go(more, tmp_path / "b", other_data, checkpoint_path=tmp_path / "a")
    assert (done.resumed_from, done.step) == (3, 4)
    here = weights(tmp_path / "b", 4)
    assert there["loss.centers"].shape == (6, 1, 16)
    assert here["loss.centers"].shape == (3, 1, 16)
    torch.testing.assert_close(here["encoder.linear.weight"], there["encoder.linear.weight"])
    moments = safetensors.torch.load_file(
        tmp_path / "b" / "checkpoints" / "step-4" / "optimizer.safetensors"
    )
    assert moments["encoder.linear.weight:step"] == 4
    assert moments["loss.centers:step"] == 1


def test_an_encoder_without_its_training_is_not_resumed(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path, run: Path
) -> None:
    """The message names the option that takes it; packed weights are such an encoder."""
    saved = tmp_path / "saved"
    api.load_encoder(run, device="cpu").save(saved)
    for path in (saved, SHIPPED / "timbral-small"):
        with pytest.raises(CheckpointError, match=r"no training to resume; `init` begins a new"):
            go(small_config(), tmp_path / "r", checkpoint_path=path)
    assert not (tmp_path / "r").exists()


def test_initial_weights(
    go: Callable[..., api.TrainSummary], small_config: Make, tmp_path: Path, run: Path
) -> None:
    """Only the encoder's; step and optimizer start from zero."""
    config = small_config("tdnn", steps=1, learning_rate=1e-12)
    done = go(config, tmp_path / "r", init=str(run))
    assert (done.resumed_from, done.step) == (0, 1)
    there = safetensors.torch.load_file(find_checkpoint(run).folder / "model.safetensors")
    here = weights(tmp_path / "r", 1)
    key = "encoder.linear.weight"
    torch.testing.assert_close(here[key], there[key], atol=1e-9, rtol=1e-6)
    with pytest.raises(TrainingError, match=r"data source\.initial_weights +[0-9a-f]{16} +none"):
        go(config, tmp_path / "r")
    with pytest.raises(CheckpointError, match=r"config has lstm; .*`--opts encoder tdnn`"):
        go(small_config("lstm"), tmp_path / "l", init=str(run))
    with pytest.raises(CheckpointError, match=r"did you mean 'ge2e-lstm'"):
        go(config, tmp_path / "n", init="ge2e-lstn")
    with pytest.raises(ConfigError, match="combined with `force_restart` or `init`"):
        go(config, tmp_path / "n", init=str(run), checkpoint_path=run)
