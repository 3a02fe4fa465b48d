"""The linear layer that multiplies in oneDNN's own order."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from timbral.encoders.layers import linear
from timbral.encoders.layers.linear import LEAST_ROWS, Linear

pytestmark = pytest.mark.skipif(not linear.PACKS, reason="this torch has no oneDNN product")

ROWS = 2 * LEAST_ROWS


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(64, 96).eval()


@pytest.fixture
def frames() -> Tensor:
    return torch.randn(2, LEAST_ROWS, 64, generator=torch.Generator().manual_seed(1))


def expected(layer: Linear, frames: Tensor) -> Tensor:
    return nn.functional.linear(frames, layer.weight, layer.bias)


@torch.inference_mode()
def test_gives_the_product(layer: Linear, frames: Tensor) -> None:
    torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=1e-6)
    assert layer._packed is not None


@torch.inference_mode()
def test_gives_bfloat16_under_autocast(layer: Linear, frames: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        outputs, plain = layer(frames), expected(layer, frames)
    assert outputs.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain, rtol=1e-2, atol=1e-2)


def test_sees_that_its_weight_has_changed(layer: Linear, frames: Tensor) -> None:
    for change in (
        lambda: layer.weight.data.mul_(2.0),
        lambda: layer.load_state_dict(Linear(64, 96).state_dict()),
        lambda: setattr(layer, "weight", nn.Parameter(torch.randn(96, 64))),
    ):
        with torch.inference_mode():
            layer(frames)
        change()
        with torch.inference_mode():
            torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=1e-5)


def test_optimizer_steps_are_seen(layer: Linear, frames: Tensor) -> None:
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(2):
        with torch.inference_mode():
            torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=1e-5)
        layer(frames).square().mean().backward()
        optimizer.step()


def test_gradients_take_torchs_product(layer: Linear, frames: Tensor) -> None:
    layer(frames).sum().backward()
    assert layer.weight.grad is not None
    assert layer._packed is None


@torch.inference_mode()
def test_copies_and_pickles_without_the_copy(layer: Linear, frames: Tensor) -> None:
    outputs = layer(frames)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._packed is None
        torch.testing.assert_close(other(frames), outputs, rtol=0, atol=0)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["few rows", "not contiguous", "float64"])
def test_leaves_the_rest_to_torch(layer: Linear, frames: Tensor, kind: str) -> None:
    if kind == "few rows":
        frames = frames[:, :1]
    elif kind == "not contiguous":
        frames = frames.transpose(0, 1)
    else:
        layer, frames = layer.double(), frames.double()
    torch.testing.assert_close(layer(frames), expected(layer, frames), rtol=0, atol=0)
    assert layer._packed is None
