"""WeSpeaker's w2v-BERT with adapters gives its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertConfig
from timbral.errors import CheckpointError, ConfigError

SMALL = W2vBertConfig(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    left_positions=12,
    states=3,
    adapter_channels=12,
    attention_channels=12,
    embedding_dim=24,
)


pytestmark = pytest.mark.usefixtures("own_cache")


def saved(folder: Path, **changed: Tensor) -> Path:
    """As WeSpeaker's averaged file is: with the classifier of its training."""
    state = {**drawn(np.load(GOLDEN / "w2v_bert.npz")), **changed}
    torch.save({**state, "projection.weight": torch.zeros(7, 24)}, folder / "avg_model.pt")
    return folder / "avg_model.pt"


def test_vectors_are_those_of_wespeaker(tmp_path: Path) -> None:
    """Of recordings with an even and an odd number of filter banks."""
    golden = np.load(GOLDEN / "w2v_bert.npz")
    path = saved(tmp_path)
    converted = read_foreign(path)
    assert converted.encoder == SMALL
    assert converted.preprocessing.min_rms_dbfs is None
    embedder = api.load_encoder(path, device="cpu")
    assert_same(embedder, golden["names"], golden["vectors"])


FIRST = "frontend.encoder.encoder.layers.0."


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({f"{FIRST}self_attn.linear_q.lora_A.weight": torch.zeros(2)}, "merge them first"),
        ({f"{FIRST}self_attn.distance_embedding.weight": torch.zeros(3, 8)}, "left_positions"),
        ({f"{FIRST}self_attn.distance_embedding.weight": torch.zeros(21, 0)}, "not weights of"),
        ({f"{FIRST}conv_module.depthwise_conv.weight": torch.zeros(32, 1)}, "not weights of"),
        ({"adapter_layers.9.0.weight": torch.zeros(12, 32)}, "these weights"),
        ({"pooling.attention.0.weight": torch.zeros(12, 7, 1)}, "these weights"),
        ({"front.weight": torch.zeros(2)}, "front.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    changed: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words) as refused:
        api.convert(saved(tmp_path, **changed), tmp_path / "out")
    assert "\n" not in str(refused.value).strip()
    assert not (tmp_path / "out").exists()


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder.states must be in \[1, 5\]"):
        W2vBertConfig(num_hidden_layers=4)
    with pytest.raises(ConfigError, match="must be divisible"):
        W2vBertConfig(num_attention_heads=5)
