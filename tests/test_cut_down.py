"""The recipe that cuts a student from CAM++: its parts, on networks of a few channels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.checkpoints.packed_weights import pack, unpack
from timbral.encoders.campplus import CampplusConfig, CampplusEncoder
from timbral.encoders.campplus_small import SmallCampplusConfig, SmallCampplusEncoder
from timbral.encoders.layers.conv import FrameConv, FrameConv2d

FOLDER = Path(__file__).parents[1] / "recipes" / "distillation" / "cut_down"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its modules by name, imported from beside each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in SCRIPTS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield lambda name: __import__(name)
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def test_ridge_finds_the_product(recipe: Any) -> None:
    torch.manual_seed(0)
    inputs, matrix, bias = torch.randn(400, 6), torch.randn(3, 6), torch.randn(3)
    for wanted in (bias, torch.zeros(3)):
        found = recipe("least_squares").ridge(
            inputs, inputs @ matrix.t() + wanted, 1e-6, bias=bool(wanted.any())
        )
        assert (found[0] - matrix).abs().max() < 1e-3
        assert (found[1] - wanted).abs().max() < 1e-3


def test_the_best_columns_tell_what_others_do_not(recipe: Any) -> None:
    torch.manual_seed(0)
    strong, weak = torch.randn(500, 1), torch.randn(500, 1)
    noise = torch.randn(500, 3)
    columns = torch.cat([noise, strong, strong + 0.01 * noise[:, :1], weak], dim=1)
    targets = torch.cat([3 * strong, weak], dim=1)
    chosen = recipe("least_squares").best_columns(columns, targets, 2).tolist()
    assert len({3, 4} & set(chosen)) == 1
    assert 5 in chosen


def test_stretched_bands_move_a_peak(recipe: Any) -> None:
    voices = recipe("voices")
    banks = torch.zeros(4, 80)
    banks[:, 40] = 1.0
    assert torch.equal(voices.Change().apply(banks), banks)
    assert voices.stretched_bands(banks, 1.15).argmax(1).tolist() == [43] * 4
    assert voices.stretched_bands(banks, 0.87).argmax(1).tolist() == [37] * 4
    assert len(voices.stretched_time(torch.randn(100, 80), 1.25)) == 79


def test_changes_and_conditions_follow_from_the_seed(recipe: Any) -> None:
    voices, conditions = recipe("voices"), recipe("conditions")
    banks, noise = torch.randn(6, 50, 80), [torch.randn(30, 80)]
    drawn = [voices.Change.draw(np.random.default_rng(3)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    changed = [conditions.Conditions(noise, 5).apply(banks) for _ in range(2)]
    assert torch.equal(changed[0], changed[1])
    assert changed[0].isfinite().all()
    assert changed[0].mean(1).abs().max() < 1e-5
    assert not torch.equal(changed[0], recipe("banks").centered(banks))


def test_a_step_is_alike_in_each_white_coordinate(recipe: Any) -> None:
    """Of inputs that share a large mean: a step moves what tells them apart as far as that."""
    torch.manual_seed(0)
    inputs = 3.0 + torch.randn(2_000, 12)
    layer = nn.Linear(12, 4)
    before = layer.weight.detach().clone()
    optimizer = recipe("whitened").WhitenedAdam(layer, lambda: layer(inputs), 0.5)
    (layer(inputs) * torch.randn(2_000, 4)).sum().backward()
    optimizer.step(1e-2)
    (product,) = optimizer._products
    sizes = (inputs @ before.t()).square().mean(0).sqrt()
    white = (layer.weight.detach() - before) @ torch.linalg.inv(product.basis.t())
    assert (white.abs() / sizes[:, None] - 1e-2).abs().max() < 1e-4
    damped = product.basis.t() @ (inputs.t() @ inputs / 2_000) @ product.basis
    assert damped.diagonal().max() < 1.0
    assert (damped - damped.diagonal().diag()).abs().max() < 1e-4


@pytest.mark.parametrize(
    "layer",
    [FrameConv(5, 3, 3, padding=1, bias=False), FrameConv2d(2, 3, 3, mel_stride=2, padding=1)],
)
def test_rows_are_what_a_product_takes(recipe: Any, layer: nn.Module) -> None:
    shape = (2, 7, 5) if isinstance(layer, FrameConv) else (2, 7, 6, 2)
    inputs = torch.randn(shape)
    rows = recipe("whitened").input_rows(layer, inputs)
    weight = layer.get_parameter("weight").flatten(1)
    products: Tensor = rows @ weight.t()
    expected = layer(inputs)
    if isinstance(layer, FrameConv2d):  # rows go over bands first
        expected = expected.transpose(1, 2)
    assert (products - expected.reshape(-1, 3)).abs().max() < 1e-5


def test_a_batch_has_both_crops_of_each_pair(recipe: Any, tmp_path: Path) -> None:
    shards = recipe("shards")
    for number in range(2):
        numbers = torch.arange(8.0) + 8 * number
        shard = {"banks": numbers[:, None, None].expand(8, 5, 3).clone(), "vectors": numbers}
        torch.save(shard, tmp_path / f"voices-{number:05}.pt")
    drawn = [batch for batch, _ in zip(shards.batches(tmp_path, 4, 0), range(4), strict=False)]
    assert sorted(torch.cat([batch.values["vectors"] for batch in drawn]).tolist()) == list(
        range(16)
    )
    for batch in drawn:
        assert torch.equal(shards.read_shard(batch.path)["banks"][batch.rows], batch.banks)
        assert (batch.values["vectors"].view(-1, 2).diff() == 1).all()


def test_degraded_crops_follow_from_the_seed(recipe: Any) -> None:
    harden, waves = recipe("harden"), recipe("waves")
    conditions = recipe("wave_conditions")
    rng = np.random.default_rng(0)
    sounds = conditions.Sounds(
        [rng.normal(size=8_000).astype(np.float32)], [np.ones(1, np.float32)]
    )
    pcm = torch.from_numpy(rng.normal(0, 3_000, (4, waves.samples_of(220))).astype(np.int16))
    degraded = [harden.DegradedCrops(conditions.WaveConditions(sounds), 7) for _ in range(2)]
    lengths = set()
    for _ in range(8):
        first, second = (each.features(pcm.float()) for each in degraded)
        assert torch.equal(first[0], second[0])
        assert first[0].shape[0] == 4
        assert first[0].mean(1).abs().max() < 1e-4
        assert first[1] == (first[0].shape[1] < 220)
        lengths.add(first[0].shape[1])
    assert {220} < lengths <= {220, *harden.LENGTHS}


def test_a_simulated_room_begins_with_the_direct_sound(recipe: Any) -> None:
    conditions = recipe("wave_conditions")
    for seed in range(5):
        room = conditions.simulated_room(np.random.default_rng(seed))
        assert room[0] == 1.0
        assert not room[1 : round(conditions.FIRST_REFLECTION[0] * conditions.RATE)].any()
        decibels = -10 * np.log10(np.square(room[1:]).sum())
        low, high = conditions.DIRECT_TO_REVERBERANT
        assert low - 0.01 < decibels < high + 0.01
        early, late = np.array_split(np.square(room[conditions.RATE // 50 :]), 2)
        assert late.sum() < 0.1 * early.sum()


def test_both_crops_of_a_pair_are_played_at_one_speed(recipe: Any) -> None:
    waves = recipe("waves")
    tone = np.sin(2 * np.pi * 500 * np.arange(40_000) / waves.RATE).astype(np.float32)

    class Tones:
        def wave(self, row: int) -> np.ndarray:
            return tone

    speeds = set()
    for seed in range(6):
        pair = waves.pair_of(Tones(), np.arange(3), 16_000, np.random.default_rng(seed))
        heights = [int(np.abs(np.fft.rfft(crop)).argmax()) for crop in pair]
        assert [len(crop) for crop in pair] == [16_000, 16_000]
        assert heights[0] == heights[1]
        speeds.add(heights[0] / 500)
    assert 1.0 in speeds
    assert len(speeds) > 1
    assert all(waves.SPEEDS[0] - 0.01 < speed < waves.SPEEDS[1] + 0.01 for speed in speeds)


def crops(count: int) -> Tensor:
    banks = 2.0 * torch.randn(count, 1, 80) + torch.randn(count, 120, 80)
    return banks + torch.sin(torch.arange(120)[:, None] * torch.rand(count, 1, 80))


@torch.no_grad()
def test_a_cut_student_is_nearer_to_its_teacher(recipe: Any) -> None:
    torch.manual_seed(0)
    teacher = CampplusEncoder(CampplusConfig((4, 8, 4), 4, 16, 4, 8, 16)).eval()
    config = SmallCampplusConfig((2, 4, 2), (12, 16, 16), 4, 16, 6, 12, 4, 16)
    student = SmallCampplusEncoder(config).eval()
    banks, front = crops(96), recipe("front")
    features = recipe("banks").centered(banks)
    taken: list[Tensor] = []
    teacher.blocks[0].register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    vectors = functional.normalize(teacher.embed_features(features, torch.full((96,), 120)))
    variance = taken[0].var((0, 1)).clamp(min=1e-3)

    def front_error() -> float:
        frames = front.front_output(student, features)
        return float(front.front_error(frames, taken[0], variance))

    def distance() -> float:
        """Root mean square difference of centered vectors, beside the teacher's own spread."""
        own = functional.normalize(student.embed_features(features, torch.full((96,), 120)))
        error = (own - own.mean(0)) - (vectors - vectors.mean(0))
        return float(error.norm() / (vectors - vectors.mean(0)).norm())

    begun = front_error(), distance()
    recipe("fit_front").fit_front(student, teacher, banks)
    assert front_error() < 0.5 * begun[0]
    frames = front.front_output(student, features)
    channels = recipe("fit_blocks").fit_blocks(student, teacher, frames, taken[0].half(), vectors)
    assert [len(kept) for kept in channels] == [12, 16, 16]
    assert distance() < 1.0 < begun[1]


def test_rounded_weights_are_those_of_the_file(recipe: Any) -> None:
    few_bits = recipe("few_bits")
    torch.manual_seed(0)
    network = SmallCampplusEncoder(SmallCampplusEncoder.tiny_config).eval()
    whole = {name: values.clone() for name, values in network.state_dict().items()}
    with few_bits.rounded_weights(network):
        inside = {name: values.clone() for name, values in network.state_dict().items()}
        network.linear.weight.sum().backward()
    assert all(torch.equal(network.state_dict()[name], whole[name]) for name in whole)
    assert network.linear.weight.grad is not None
    few_bits.round_weights(network)
    found = unpack(pack(network.state_dict(), few_bits.BITS), Path("model.safetensors"))
    for name, values in inside.items():
        assert torch.equal(network.state_dict()[name], values)
        if values.ndim in (2, 3):
            assert (values - whole[name]).abs().max() > 0
            assert torch.equal(found[name], values)


@torch.no_grad()
def test_a_learned_product_is_kept_where_it_is_best_for_held_speakers(recipe: Any) -> None:
    """Least squares on few crops of another direction lose against what was learned."""
    torch.manual_seed(0)
    head = recipe("head")
    network = SmallCampplusEncoder(SmallCampplusEncoder.tiny_config).eval()
    network.linear_norm.running_mean.normal_()
    network.linear_norm.running_var.uniform_(0.5, 2.0)

    def outputs(inputs: Tensor) -> Tensor:
        return functional.normalize(network.linear_norm(network.linear(inputs)))

    inputs = torch.randn(400, network.linear.weight.shape[1])
    matrix, bias = head.learned_product(network, inputs, outputs(inputs))
    own = functional.normalize(inputs @ matrix.t() + bias)
    assert (own - outputs(inputs)).abs().max() < 1e-5
    held = torch.randn(50, inputs.shape[1])
    taught = outputs(held)
    wrong = functional.normalize(outputs(inputs[:40]) + torch.randn(40, taught.shape[1]))
    head.fit_head(network, inputs[:40], wrong, {"held": (held, taught)})
    kept = (outputs(held) * taught).sum(1).mean()
    exact, bias = recipe("least_squares").ridge(inputs[:40], wrong, max(head.RIDGES))
    assert kept > (functional.normalize(held @ exact.t() + bias) * taught).sum(1).mean()


def test_a_shard_of_vectors_only_has_the_same_vectors(recipe: Any) -> None:
    torch.manual_seed(0)
    voices = recipe("voices")
    teacher = CampplusEncoder(CampplusConfig((4, 8, 4), 4, 16, 4, 8, 16)).eval()
    banks = list(crops(3))
    whole, vectors = (voices.labeled(teacher, banks, vectors_only=only) for only in (False, True))
    assert set(whole) == {"banks", "first", "vectors", "block0", "block1", "block2"}
    assert set(vectors) == {"banks", "vectors"}
    assert all(torch.equal(vectors[name], whole[name]) for name in vectors)
