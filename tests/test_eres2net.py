"""3D-Speaker's ERes2NetV2 gives its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.eres2net_v2 import Eres2netV2Config
from timbral.errors import CheckpointError, ConfigError

CONFIGS = {
    "small": Eres2netV2Config((1, 2, 1, 2), channels=8, embedding_dim=24),
    "wide": Eres2netV2Config((1, 1, 2, 1), 8, 24, 4, 4, 16, second_linear=True),
    "published": Eres2netV2Config(),
}


pytestmark = pytest.mark.usefixtures("own_cache")


def weights(case: str) -> dict[str, Tensor]:
    return drawn(np.load(GOLDEN / "eres2net.npz"), f"{case}.")


@pytest.mark.parametrize(
    ("case", "count"),
    [("small", 2), ("wide", 2), *(pytest.param(c, 6, marks=pytest.mark.slow) for c in CONFIGS)],
)
def test_vectors_are_those_of_3d_speaker(case: str, count: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "eres2net.npz")
    torch.save(weights(case), tmp_path / "pretrained_eres2netv2.ckpt")
    assert read_foreign(tmp_path / "pretrained_eres2netv2.ckpt").encoder == CONFIGS[case]
    embedder = api.load_encoder(tmp_path / "pretrained_eres2netv2.ckpt", device="cpu")
    # at the published size the original's are up to 1.2e-5 from those in float64, these 9e-6
    vectors = golden[f"{case}.vectors"][:count]
    assert_same(embedder, golden["names"][:count], vectors, 2e-5)


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "weights.ckpt", weights("small")
    for changed, words in (
        ({"seg_1.weight": state["seg_1.weight"][:, :320]}, "takes 320 numbers instead of 2,560"),
        ({"pool.linear1.weight": torch.zeros(2, 2, 1)}, "its pooling has weights"),
        ({"layer2.0.conv1.weight": torch.zeros(8, 4, 3)}, "these weights"),
        ({"front.weight": torch.zeros(2)}, "front.weight"),
        ({"conv1.weight": torch.zeros(0, 1, 3, 3)}, "not weights of"),
    ):
        torch.save({**state, **changed}, path)
        with pytest.raises(CheckpointError, match=words):
            api.convert(path, tmp_path / "out")
    del state["fuse34.local_att.0.weight"]
    torch.save(state, path)
    with pytest.raises(CheckpointError):
        api.convert(path, tmp_path / "out", format="3d-speaker")


def test_sizes_without_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave no channels in a group"):
        Eres2netV2Config(channels=2)
    with pytest.raises(ConfigError, match="four numbers from 1"):
        Eres2netV2Config(layers=(3, 4, 6))
