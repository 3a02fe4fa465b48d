"""Packed weights: equal results, and never stale ones."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, needs_bf16
from timbral.checkpoints.weights import build_encoder
from timbral.encoders.layers import packing
from timbral.encoders.layers.conv import FrameConv
from timbral.encoders.layers.linear import Linear
from timbral.encoders.layers.packing import (
    MIN_ROWS,
    PackableProduct,
    pack_weights,
    unpack_weights,
)
from timbral.inference.embedder import Embedder

FOLDED = {"lstm", "campplus", "campplus-small", "ecapa", "resnet", "eres2net-v2"}
"""encoders that an Embedder computes in another form, or without such layers"""
needs_packing = pytest.mark.skipif(not packing.CAN_PACK, reason="this torch has no oneDNN product")

LAYERS: dict[str, Callable[[], PackableProduct]] = {
    "linear": lambda: Linear(64, 96),
    "linear-no-bias": lambda: Linear(64, 96, bias=False),
    "conv": lambda: FrameConv(64, 96, 3, dilation=2),
    "conv-padding-stride": lambda: FrameConv(64, 96, 5, stride=2, padding=2),
    "conv-1": lambda: FrameConv(64, 96, bias=False),
}


@pytest.fixture(autouse=True)
def onednn_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this processor were one on which packing gains."""
    monkeypatch.setattr(packing, "MKL_IS_FASTER", False)


@pytest.fixture(params=sorted(LAYERS))
def layer(request: pytest.FixtureRequest) -> PackableProduct:
    torch.manual_seed(0)
    return LAYERS[request.param]().eval()


@pytest.fixture
def frames() -> Tensor:
    return torch.randn(2, 2 * MIN_ROWS, 64, generator=torch.Generator().manual_seed(1))


def expected(layer: PackableProduct, frames: Tensor) -> Tensor:
    """What torch's own layer gives for the weights as they are now."""
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(frames, layer.weight, layer.bias)
    assert isinstance(layer, nn.Conv1d)
    return nn.Conv1d.forward(layer, frames.mT).mT


def assert_not_stale(layer: PackableProduct, frames: Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=2e-5)


@needs_packing
def test_packed_product_equals_torchs(layer: PackableProduct, frames: Tensor) -> None:
    plain = layer(frames).detach()
    pack_weights(layer)
    assert layer._packed is not None
    assert_not_stale(layer, frames)
    with torch.inference_mode():
        torch.testing.assert_close(layer(frames), plain, rtol=0, atol=1e-5)


@needs_packing
@torch.inference_mode()
@needs_bf16
def test_packed_in_bfloat16(layer: PackableProduct, frames: Tensor) -> None:
    pack_weights(layer, torch.bfloat16)
    assert layer._packed is not None
    assert layer._packed.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        outputs, plain = layer(frames), expected(layer, frames)
    assert outputs.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain, rtol=2e-2, atol=2e-2)
    assert layer(frames).dtype == torch.float32  # outside autocast: torch's product


def optimizer_step(layer: PackableProduct) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.randn(1, 8, 64)).square().mean().backward()
    optimizer.step()


def new_parameter(layer: PackableProduct) -> None:
    layer.weight = nn.Parameter(0.1 * torch.randn_like(layer.weight))


def other_weights(layer: PackableProduct) -> dict[str, Tensor]:
    return {name: 0.1 * torch.randn_like(tensor) for name, tensor in layer.state_dict().items()}


DROPPED = {
    "train": lambda layer: layer.train(),
    "eval": lambda layer: layer.eval(),
    "to": lambda layer: layer.to("cpu"),
    "float": lambda layer: layer.float(),
    "load_state_dict": lambda layer: layer.load_state_dict(other_weights(layer)),
    "assign": lambda layer: layer.load_state_dict(other_weights(layer), assign=True),
    "unpack_weights": unpack_weights,
}


@needs_packing
@pytest.mark.parametrize("way", sorted(DROPPED))
def test_packed_copy_is_dropped(layer: PackableProduct, frames: Tensor, way: str) -> None:
    network = nn.Sequential(layer)
    pack_weights(network)
    DROPPED[way](network if way not in ("load_state_dict", "assign") else layer)
    assert layer._packed is None
    layer.weight.data.mul_(2.0)  # what follows may change weights in any way
    assert_not_stale(layer, frames)


@needs_packing
@pytest.mark.parametrize("change", [optimizer_step, new_parameter])
def test_changed_weights_are_not_stale(
    layer: PackableProduct, frames: Tensor, change: Callable[[PackableProduct], None]
) -> None:
    pack_weights(layer)
    change(layer)
    assert_not_stale(layer, frames)
    with torch.no_grad():
        layer.weight[1] = 0.0
    assert_not_stale(layer, frames)


@needs_packing
def test_packing_again_takes_weights_changed_through_data(
    layer: PackableProduct, frames: Tensor
) -> None:
    pack_weights(layer)
    layer.weight.data[1] = 0.0
    pack_weights(layer)
    assert_not_stale(layer, frames)


@needs_packing
def test_copies_and_pickles_have_no_packed_copy(layer: PackableProduct, frames: Tensor) -> None:
    pack_weights(layer)
    for other in (copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._packed is None
        assert_not_stale(other, frames)
    assert layer._packed is not None


def test_nothing_packs_by_itself(layer: PackableProduct, frames: Tensor) -> None:
    with torch.inference_mode():
        layer(frames)
    assert layer._packed is None


@needs_packing
def test_gradients_take_torchs_product(layer: PackableProduct, frames: Tensor) -> None:
    pack_weights(layer)
    layer(frames).sum().backward()
    assert layer.weight.grad is not None


@needs_packing
@torch.inference_mode()
@pytest.mark.parametrize("case", ["few rows", "not contiguous", "float64"])
def test_other_inputs_take_torchs_product(frames: Tensor, case: str) -> None:
    layer = Linear(64, 96).eval()
    pack_weights(layer)
    if case == "few rows":
        frames = frames[:, :1].contiguous()
    elif case == "not contiguous":
        frames = frames.transpose(0, 1)
    else:
        layer, frames = layer.double(), frames.double()
    assert layer._packed_for(frames) is None
    torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=0)


def test_without_the_operator_torchs_product_is_taken(
    layer: PackableProduct, frames: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CAN_PACK", False)
    pack_weights(layer)
    assert layer._packed is None
    assert_not_stale(layer, frames)


@needs_packing
@pytest.mark.parametrize("name", sorted(set(SMALL) - FOLDED))
def test_embedders_pack_and_training_unpacks(name: str) -> None:
    network = build_encoder(SMALL[name])
    layers = [layer for layer in network.modules() if isinstance(layer, PackableProduct)]
    assert layers
    embedder = Embedder(network)
    assert all(layer._packed is not None for layer in layers)
    worker = pickle.loads(pickle.dumps(embedder))  # packs again, in its own process
    packed = [layer._packed for layer in worker.network.modules() if hasattr(layer, "_packed")]
    assert len(packed) == len(layers)
    assert None not in packed
    network.train()
    assert all(layer._packed is None for layer in layers)
