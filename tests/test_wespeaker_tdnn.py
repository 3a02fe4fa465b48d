"""WeSpeaker's CAM++ and ECAPA-TDNN give their vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.campplus import CampplusConfig
from timbral.encoders.ecapa import EcapaConfig, EcapaEncoder
from timbral.errors import CheckpointError, ConfigError

SMALL = EcapaConfig(16, 1536, 128, 128, 8, 24, variant="wespeaker", global_context=False)
CONFIGS = {
    "campplus": CampplusConfig(embedding_dim=512, filter_banks="wespeaker"),
    "ecapa": SMALL,
    "ecapa-global": EcapaConfig(16, 1536, 128, 128, 8, 24, variant="wespeaker"),
}


pytestmark = pytest.mark.usefixtures("own_cache")


def weights(case: str) -> dict[str, Tensor]:
    return drawn(np.load(GOLDEN / "wespeaker_tdnn.npz"), f"{case}.")


@pytest.mark.parametrize(
    "case", [pytest.param("campplus", marks=pytest.mark.slow), "ecapa", "ecapa-global"]
)
def test_vectors_are_those_of_wespeaker(case: str, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "wespeaker_tdnn.npz")
    path = tmp_path / "avg_model.pt"
    torch.save({**weights(case), "projection.weight": torch.zeros(7, 24)}, path)
    assert read_foreign(path).encoder == CONFIGS[case]
    embedder = api.load_encoder(path, device="cpu")
    assert_same(embedder, golden["names"], golden[f"{case}.vectors"])


def test_the_classifier_tells_whose_a_campplus_is(tmp_path: Path) -> None:
    state = {
        "head.conv1.weight": torch.randn(2, 1, 3, 3),
        "xvector.tdnn.linear.weight": torch.randn(2, 3, 5),
        "xvector.dense.linear.weight": torch.randn(6, 4, 1),
    }
    path = tmp_path / "avg_model.pt"
    for content, format, banks in (
        (state, None, "kaldi"),
        (state, "wespeaker-campplus", "wespeaker"),
        ({**state, "projection.weight": torch.zeros(7, 6)}, None, "wespeaker"),
    ):
        torch.save(content, path)
        assert read_foreign(path, format).encoder == CampplusConfig(
            embedding_dim=6, filter_banks=banks
        )


@pytest.mark.parametrize("global_context", [True, False])
def test_padding_does_not_affect_the_vector(global_context: bool) -> None:
    config = replace(EcapaEncoder.tiny_config, variant="wespeaker", global_context=global_context)
    torch.manual_seed(0)
    encoder = EcapaEncoder(config).eval()
    wave = 0.1 * torch.randn(1, 16_000)
    padded = torch.cat([wave, torch.full((1, 5_000), torch.nan)], dim=1)
    beside = torch.cat([padded, 0.1 * torch.randn(1, 21_000)])
    with torch.no_grad():
        alone = encoder(wave, torch.tensor([16_000]))
        together = encoder(beside, torch.tensor([16_000, 21_000]))
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)


def test_what_is_not_known_is_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "avg_model.pt", weights("ecapa")
    for changed, words in (
        ({"pool.linear1.weight": torch.zeros(128, 99, 1)}, "this one's 99"),
        ({"bn2.weight": torch.zeros(24)}, "emb_bn"),
        ({"front.weight": torch.zeros(2)}, "front.weight"),
        ({"layer3.se_res2block.0.conv.weight": torch.zeros(3)}, "out of bounds"),
    ):
        torch.save({**state, **changed}, path)
        with pytest.raises(CheckpointError, match=words):
            api.convert(path, tmp_path / "out")
    del state["linear.weight"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"linear\.weight' is missing"):
        read_foreign(path, "wespeaker-ecapa")


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.variant: .* allowed: speechbrain, wespeaker"):
        EcapaConfig(variant="nemo")
    with pytest.raises(ConfigError, match=r"encoder\.global_context"):
        EcapaConfig(global_context=False)
    with pytest.raises(ConfigError, match=r"encoder\.filter_banks: .* allowed: kaldi, wespeaker"):
        CampplusConfig(filter_banks="htk")
