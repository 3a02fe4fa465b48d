"""w2v-BERT with MHFA gives the vectors of transformers' w2v-BERT under BUT's MHFA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.foreign.base import rename
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.checkpoints.foreign.wespeaker_mhfa import NAMES
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertMhfaConfig
from timbral.encoders.w2v_bert.w2v_bert_mhfa import W2vBertMhfaEncoder
from timbral.errors import CheckpointError
from timbral.inference.embedder import Embedder

pytestmark = pytest.mark.usefixtures("own_cache")


def part(of: str) -> dict[str, Tensor]:
    state = drawn(np.load(GOLDEN / "w2v_bert_mhfa.npz"))
    start = f"{of}."
    return {
        name.removeprefix(start): each for name, each in state.items() if name.startswith(start)
    }


def saved(folder: Path, config: dict[str, Any] | None = None, **changed: Tensor) -> Path:
    """As `save_pretrained` of transformers writes w2v-BERT."""
    said = {**json.loads(str(np.load(GOLDEN / "w2v_bert_mhfa.npz")["config"])), **(config or {})}
    (folder / "config.json").write_text(json.dumps(said))
    save_file({**part("body"), **changed}, folder / "model.safetensors")
    return folder


def test_vectors_are_those_of_the_originals(tmp_path: Path) -> None:
    """Of recordings with an even and an odd number of filter banks."""
    golden = np.load(GOLDEN / "w2v_bert_mhfa.npz")
    converted = read_foreign(saved(tmp_path))
    assert isinstance(converted.encoder, W2vBertMhfaConfig)
    assert (converted.encoder.left_positions, converted.encoder.right_positions) == (12, 5)
    sizes = {**vars(converted.encoder), "pooling_heads": 6, "compressed_channels": 12}
    network = W2vBertMhfaEncoder(W2vBertMhfaConfig(**{**sizes, "embedding_dim": 24}))
    state = {name.removeprefix("encoder."): each for name, each in converted.tensors.items()}
    state |= {rename(f"back_end.{name}", NAMES): each for name, each in part("head").items()}
    network.load_state_dict(state)
    embedder = Embedder(network, Preprocessing(min_rms_dbfs=None))
    assert_same(embedder, golden["names"], golden["vectors"])


def test_a_body_alone_has_a_random_head(tmp_path: Path, capsys: Any) -> None:
    with pytest.warns(UserWarning, match="random|initialized"):
        first = api.load_encoder(saved(tmp_path), device="cpu")
    assert first.embedding_dim == 256


@pytest.mark.parametrize(
    ("config", "changed", "words"),
    [
        ({"add_adapter": True}, {}, "add_adapter is True; only False is supported"),
        ({"position_embeddings_type": "rotary"}, {}, "position_embeddings_type is 'rotary'"),
        ({"num_attention_heads": 5}, {}, "no w2v-BERT can be built from config.json"),
        ({"hidden_size": "x"}, {}, "no w2v-BERT can be built from config.json"),
        ({"model_type": "wav2vec2"}, {}, "weights of no known format|not weights of"),
        ({"num_hidden_layers": 2}, {}, "these weights"),
        ({}, {"encoder.more.weight": torch.ones(2)}, "encoder.more.weight"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(
    config: dict[str, Any], changed: dict[str, Tensor], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words):
        api.convert(saved(tmp_path, config, **changed), tmp_path / "out")
    assert not (tmp_path / "out").exists()
