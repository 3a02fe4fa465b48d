"""Learning rates, plateaus, averages, frozen layer groups, and steps that are skipped."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import SMALL, sections
from timbral import api
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.config.schema import OptimizerConfig, ScheduleConfig, TrainConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.prepared.store import Store
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, TrainingError
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.training.distributed import Ranks
from timbral.training.loop import MAX_SKIPPED_STEPS, train_step
from timbral.training.optim import Plateau, lr_at
from timbral.training.state import TrainState
from timbral.training.validation import Validation

Make = Callable[..., TrainConfig]
DATA = DataConfig(4, 3)


def make_state(
    encoder: str, optimizer: OptimizerConfig, **settings: object
) -> tuple[TrainState, TrainConfig]:
    torch.manual_seed(0)
    own = {**sections(**settings), "optimizer": replace(optimizer, learning_rate=1e-2)}
    config = TrainConfig(encoder=SMALL[encoder], data=DATA, **own)
    return TrainState.new(config, build_encoder(SMALL[encoder]), GE2ELoss(GE2EConfig())), config


def make_batch(seed: int = 0) -> WaveBatch:
    waves = torch.from_numpy(np.random.default_rng(seed).standard_normal((12, 5600))).float()
    rows = torch.arange(12)
    return WaveBatch(
        waves=waves, lengths=torch.full((12,), waves.shape[1]), speakers=rows // 3, rows=rows
    )


def step(state: TrainState, config: TrainConfig, batch: WaveBatch) -> None:
    train_step(state, [batch], Ranks())


def copies(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    now = module.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


@pytest.mark.parametrize("metric", ["val_eer", "loss"])
def test_plateau_equals_torchs(metric: str) -> None:
    """The learning rates of ReduceLROnPlateau on the same numbers; training's are averaged."""
    schedule = ScheduleConfig(
        plateau_metric=metric, plateau_every=4, plateau_patience=2, plateau_factor=0.5
    )
    values = 1 + 0.1 * np.random.default_rng(0).standard_normal(60)
    values[:20] += np.linspace(3, 0, 20)
    every = 4 if metric == "loss" else 1
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    ours = Plateau()
    for index, value in enumerate(values):
        ours.note({metric: value, "other": 0.0}, schedule)
        if index % every == every - 1:
            theirs.step(float(np.mean(values[index + 1 - every : index + 1])))
        assert ours.factor == optimizer.param_groups[0]["lr"]
    assert ours.factor < 0.5


def test_plateau_lowers_the_learning_rate(store: Store, small_config: Make, tmp_path: Path) -> None:
    plateau = {"plateau_metric": "loss", "plateau_every": 1, "plateau_patience": 0}
    config = small_config(steps=6, decay="plateau", learning_rate=1e-9, **plateau)
    run = tmp_path / "run"
    api.train(config, store.folder, run, validation_speakers="0", device="cpu")
    plateau_state = find_checkpoint(run).training_state["plateau"]
    assert plateau_state["factor"] < 1.0
    assert lr_at(3, 1e-9, config.schedule) == 1e-9, "the factor is applied apart"


def test_layer_groups_have_their_learning_rates() -> None:
    optimizer = OptimizerConfig(head_lr_scale=3.0, loss_lr_scale=0.5, layer_decay=0.5)
    state, _ = make_state("tdnn", optimizer)
    scale = {
        parameter: group["lr_scale"]
        for group in state.optimizer.param_groups
        for parameter in group["params"]
    }
    by_name = {name: scale[p] for name, p in state.encoder.named_parameters()}
    layers = [by_name[f"layers.{index}.conv.weight"] for index in range(5)]
    assert layers == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5]
    assert by_name["linear.weight"] == by_name["pooled_norm.weight"] == 3.0
    assert {scale[p] for p in state.loss_fn.parameters()} == {0.5}
    assert len(by_name) + 2 == len(scale)


@pytest.mark.parametrize("encoder", sorted(SMALL))
def test_layer_groups_cover_the_encoder(encoder: str) -> None:
    """Groups, the head the last of them, have nothing in common and leave nothing out."""
    model = build_encoder(SMALL[encoder])
    groups = model.layer_groups()
    sets = [{p for module in modules for p in module.parameters()} for modules in groups.values()]
    assert list(groups)[-1] == "head"
    assert sum(map(len, sets)) == len(set.union(*sets))
    assert set.union(*sets) == set(model.parameters())


@pytest.mark.parametrize("encoder", sorted(SMALL))
def test_frozen_groups_stay(encoder: str) -> None:
    """Only the head learns (ddvc's train_only_head); statistics before it stay, too."""
    before_head = tuple(build_encoder(SMALL[encoder]).layer_groups())[:-1]
    state, config = make_state(encoder, OptimizerConfig(freeze=before_head))
    before = copies(state.encoder)
    step(state, config, make_batch())
    head = {
        id(t) for m in state.encoder.layer_groups()["head"] for t in (*m.parameters(), *m.buffers())
    }
    tensors = dict([*state.encoder.named_parameters(), *state.encoder.named_buffers()])
    moved = changed(state.encoder, before)
    assert moved
    assert all(id(tensors[name]) in head for name in moved)


@pytest.mark.parametrize(
    ("names", "words"), [(("heads",), "did you mean 'head'"), (("body", "head"), "nothing would")]
)
def test_unknown_or_all_layer_groups_cannot_be_frozen(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_state("lstm", OptimizerConfig(freeze=names))


@pytest.mark.parametrize("encoder", ["campplus", "tdnn"])
def test_frozen_batch_norm_keeps_its_statistics(encoder: str) -> None:
    state, config = make_state(encoder, OptimizerConfig(frozen_batch_norm=True))
    before = copies(state.encoder)
    step(state, config, make_batch())
    moved = changed(state.encoder, before)
    assert moved
    assert not {name for name in moved if "running" in name or "tracked" in name}


def test_the_average_is_validated_saved_and_loaded(
    store: Store, small_config: Make, tmp_path: Path
) -> None:
    config = replace(small_config("tdnn", steps=3), optimizer=OptimizerConfig(ema=0.5))
    summary = api.train(config, store.folder, tmp_path / "r", validation_speakers="2", device="cpu")
    loaded = load_network(find_checkpoint(summary.checkpoint))
    raw = replace(find_checkpoint(summary.checkpoint).config, optimizer=OptimizerConfig())
    state = TrainState.new(config, build_encoder(raw.encoder), GE2ELoss(GE2EConfig()))
    assert state.average is not None
    from timbral.training.run_folder import load_state

    load_state(find_checkpoint(summary.checkpoint), state)
    same = loaded.state_dict()
    assert all(torch.equal(t, same[name]) for name, t in state.average.state_dict().items())
    assert any(not torch.equal(t, same[name]) for name, t in state.encoder.state_dict().items())


def test_average_of_two_steps() -> None:
    state, config = make_state("lstm", OptimizerConfig(ema=0.9))
    expected = copies(state.encoder)
    for number in range(2):
        step(state, config, make_batch(number))
        decay = min(0.9, (1 + number) / (10 + number))
        now = state.encoder.state_dict()
        expected = {name: decay * t + (1 - decay) * now[name] for name, t in expected.items()}
    assert state.average is not None
    for name, tensor in state.average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])


def test_step_that_is_not_finite_changes_nothing() -> None:
    state, config = make_state("tdnn", OptimizerConfig(ema=0.9))
    step(state, config, make_batch())
    assert state.average is not None
    everything = (state.encoder, state.loss_fn, state.average)
    before = [copies(module) for module in everything]
    adam = {key: value.clone() for key, value in _first_moments(state).items()}
    broken = make_batch(1)
    broken.waves[3, 7] = math.nan
    step(state, config, broken)
    assert (state.step, state.skipped, state.skipped_in_a_row) == (2, 1, 1)
    for module, saved in zip(everything, before, strict=True):
        assert not changed(module, saved)
    assert all(torch.equal(value, adam[key]) for key, value in _first_moments(state).items())
    step(state, config, make_batch(2))
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)
    for _ in range(MAX_SKIPPED_STEPS - 1):
        step(state, config, broken)
    with pytest.raises(TrainingError, match=r"diverged by step 23: .* 20 steps in a row is not"):
        step(state, config, broken)


def _first_moments(state: TrainState) -> dict[int, torch.Tensor]:
    states = state.optimizer.state.values()
    return {index: values["exp_avg"] for index, values in enumerate(states)}


@pytest.mark.parametrize("encoder", sorted(SMALL))
def test_validation_changes_no_training_state(encoder: str, store: Store) -> None:
    """Neither batch norm's statistics nor the random state; and it says the same again."""
    model: SpeakerEncoder = build_encoder(SMALL[encoder]).train()
    validation = Validation(store, np.arange(24))
    before, random = copies(model), torch.get_rng_state()
    result, again = validation.run(model), validation.run(model)
    assert result is not None
    assert again is not None
    first = result.metrics
    assert first == again.metrics
    assert not changed(model, before)
    assert torch.equal(random, torch.get_rng_state())
    assert set(first) == {"val_loss", "val_eer", "val_threshold", "val_min_dcf"}
    assert 0 < first["val_loss"] < 20


@pytest.mark.slow
def test_compiled_training_equals_eager_to_rounding() -> None:
    weights = []
    for compiled in (False, True):
        state, config = make_state("lstm", OptimizerConfig(), compile=compiled)
        for number in range(2):
            step(state, config, make_batch(number))
        weights.append(state.encoder.linear.weight)
    torch.testing.assert_close(*weights, atol=1e-4, rtol=1e-3)
