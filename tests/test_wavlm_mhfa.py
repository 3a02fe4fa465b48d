"""WavLM with MHFA of BUT's WeSpeaker gives its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.wavlm_mhfa import WavlmMhfaConfig
from timbral.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.usefixtures("own_cache")


def config(case: str) -> WavlmMhfaConfig:
    return WavlmMhfaConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        feat_extract_norm="layer" if case == "large" else "group",
        do_stable_layer_norm=case == "large",
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        pooling_heads=6,
        embedding_dim=24,
    )


def saved(case: str, folder: Path, **changed: Tensor) -> Path:
    """As WeSpeaker's averaged file is: with the classifier of its training."""
    state = {**drawn(np.load(GOLDEN / "wavlm_mhfa.npz"), f"{case}."), **changed}
    torch.save({**state, "projection.weight": torch.zeros(7, 24)}, folder / "avg_model.pt")
    return folder / "avg_model.pt"


@pytest.mark.parametrize("case", ["base", "large"])
def test_vectors_are_those_of_but(case: str, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "wavlm_mhfa.npz")
    path = saved(case, tmp_path)
    converted = read_foreign(path)
    assert converted.encoder == config(case)
    assert converted.preprocessing.min_rms_dbfs is None
    embedder = api.load_encoder(path, device="cpu")
    assert_same(embedder, golden["names"], golden[f"{case}.vectors"])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"back_end.att_head.weight": torch.zeros(6)}, "these weights|not weights of"),
        ({"back_end.weights_k": torch.ones(9)}, "these weights"),
        ({"back_end.more.weight": torch.ones(9)}, "back_end.more.weight"),
        ({"back_end.cmp_linear_v.weight": torch.zeros(4, 16)}, "these weights"),
        ({"model.encoder.pos_conv.0.weight_v": torch.zeros(0, 0, 8)}, "not weights of|these w"),
        ({"front.weight": torch.zeros(2)}, "front.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    changed: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words) as refused:
        api.convert(saved("base", tmp_path, **changed), tmp_path / "out")
    assert "\n" not in str(refused.value).strip()
    assert not (tmp_path / "out").exists()


def test_a_head_without_wavlm_is_refused(tmp_path: Path) -> None:
    state = drawn(np.load(GOLDEN / "wavlm_mhfa.npz"), "base.")
    head = {name: tensor for name, tensor in state.items() if name.startswith("back_end.")}
    torch.save(head, tmp_path / "avg_model.pt")
    with pytest.raises(CheckpointError, match="is missing"):
        read_foreign(tmp_path / "avg_model.pt", "wespeaker-mhfa")
    with pytest.raises(ConfigError, match="equally long"):
        WavlmMhfaConfig(conv_stride=(5, 2))
