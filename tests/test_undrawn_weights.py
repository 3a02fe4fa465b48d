"""An encoder that is read from a checkpoint is built without drawing its weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import SMALL
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.undrawn_weights import UndrawnWeights
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.config.schema import TrainConfig
from timbral.encoders.registry import ENCODERS


@pytest.fixture
def filled() -> Iterator[None]:
    """Allocated memory that nobody writes to holds NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("filled")
def test_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    with UndrawnWeights():
        layers = nn.Sequential(nn.Linear(3, 4), nn.Conv1d(4, 5, 3))
    assert torch.equal(torch.get_rng_state(), before)
    assert layers[0].weight.isnan().all()
    assert layers[1].weight.isnan().all()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", ENCODERS)
def test_every_weight_and_buffer_is_there_afterwards(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(SMALL[name])
    checkpoint = Checkpoint(tmp_path / "c", 1, TrainConfig(encoder=SMALL[name]), Preprocessing())
    save_checkpoint(checkpoint, {"encoder": encoder})
    loaded = load_network(checkpoint)
    for mine, read in zip(
        (*encoder.parameters(), *encoder.buffers()),
        (*loaded.parameters(), *loaded.buffers()),
        strict=True,
    ):
        assert torch.equal(mine, read)
