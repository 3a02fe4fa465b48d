"""w2v-BERT with a small ECAPA-TDNN gives the vectors of the originals; a body without a head
begins an encoder with any head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.foreign.unispeech import ecapa_tensors
from timbral.checkpoints.weights import build_encoder, load_weights, read_tensors
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertEcapaConfig
from timbral.encoders.w2v_bert.w2v_bert_ecapa import W2vBertEcapaEncoder
from timbral.errors import CheckpointError
from timbral.inference.embedder import Embedder

BODY = "feature_extract.model."


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def w2v_bert(tmp_path: Path) -> Path:
    """w2v-BERT alone, as `save_pretrained` of transformers writes it."""
    folder = tmp_path / "w2v-bert"
    folder.mkdir()
    state = drawn(np.load(GOLDEN / "w2v_bert_ecapa.npz"))
    (folder / "config.json").write_text(str(np.load(GOLDEN / "w2v_bert_ecapa.npz")["config"]))
    body = {k.removeprefix(BODY): each for k, each in state.items() if k.startswith(BODY)}
    save_file(body, folder / "model.safetensors")
    return folder


def begun(
    name: str, folder: Path, initial: Path, **sizes: Any
) -> tuple[SpeakerEncoder, Checkpoint]:
    """An encoder at a checkpoint's sizes, begun with its weights as `train --init` begins it."""
    checkpoint = api.convert(initial, folder)
    known = ENCODERS[name].config_type.__dataclass_fields__
    of_body = {k: v for k, v in vars(checkpoint.config.encoder).items() if k in known}
    encoder = build_encoder(ENCODERS[name].config_type(**{**of_body, **sizes}))
    load_weights(encoder, checkpoint)
    return encoder, checkpoint


def test_vectors_are_those_of_the_originals(w2v_bert: Path, tmp_path: Path) -> None:
    """Of recordings with an even and an odd number of filter banks."""
    golden = np.load(GOLDEN / "w2v_bert_ecapa.npz")
    encoder, _ = begun("w2v-bert-ecapa", tmp_path / "out", w2v_bert, channels=16, embedding_dim=24)
    assert isinstance(encoder, W2vBertEcapaEncoder)
    head = {k: each for k, each in drawn(golden).items() if not k.startswith(BODY)}
    encoder.load_state_dict(encoder.state_dict() | ecapa_tensors(head, 16, 8))
    assert_same(
        Embedder(encoder, Preprocessing(min_rms_dbfs=None)), golden["names"], golden["vectors"]
    )


def test_the_defaults_are_unispeechs() -> None:
    config = W2vBertEcapaConfig()
    assert (config.channels, config.pooled_channels, config.embedding_dim) == (512, 1536, 256)


@pytest.mark.parametrize("name", ["w2v-bert", "w2v-bert-ecapa", "w2v-bert-mhfa"])
def test_w2v_bert_alone_is_the_body_of_every_head(
    name: str, w2v_bert: Path, tmp_path: Path
) -> None:
    sizes = {"states": 4} if name == "w2v-bert" else {}
    assert_begun(*begun(name, tmp_path / "out", w2v_bert, embedding_dim=24, **sizes))


@pytest.mark.parametrize("name", ["wavlm-ecapa", "wavlm-mhfa"])
@pytest.mark.parametrize("size", ["base", "large"])
def test_a_wavlm_alone_is_the_body_of_every_head(name: str, size: str, tmp_path: Path) -> None:
    """Of a large one the norm of its output has nothing to do under MHFA."""
    source = GOLDEN / f"wavlm-{size}-tiny"
    content = json.loads((source / "config.json").read_text())
    state = read_tensors(source / "model.safetensors")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text(json.dumps(content))
    save_file(
        {k: each for k, each in state.items() if k.startswith("wavlm.")}, bare / "model.safetensors"
    )
    encoder, checkpoint = begun(name, tmp_path / "out", bare, embedding_dim=24)
    left = assert_begun(encoder, checkpoint)
    normalized = {"transformer.layer_norm.weight", "transformer.layer_norm.bias"}
    assert left == (normalized if (name, size) == ("wavlm-mhfa", "large") else set())


def assert_begun(encoder: SpeakerEncoder, checkpoint: Checkpoint) -> set[str]:
    """All of the body is the checkpoint's; what it has besides is returned."""
    body = {
        key.removeprefix("encoder."): each
        for key, each in read_tensors(checkpoint.weights_path).items()
        if not key.removeprefix("encoder.").startswith(checkpoint.uninitialized_prefixes)
    }
    state = encoder.state_dict()
    for key in body.keys() & state.keys():
        torch.testing.assert_close(state[key], body[key])
    head = {key for key in state if key.startswith("pooling.")}
    assert state.keys() - head <= body.keys()
    return set(body) - set(state)


def test_a_head_that_was_trained_is_kept(tmp_path: Path) -> None:
    """Weights of another encoder are refused as before, whatever their body is."""
    checkpoint = api.convert(GOLDEN / "wavlm-base-tiny", tmp_path / "out")
    sizes = {
        k: v
        for k, v in vars(checkpoint.config.encoder).items()
        if k in dict.fromkeys(ENCODERS["wavlm-mhfa"].config_type.__dataclass_fields__)
    }
    encoder = build_encoder(ENCODERS["wavlm-mhfa"].config_type(**sizes))
    with pytest.raises(CheckpointError, match="these weights do not fit this WavlmMhfaEncoder"):
        load_weights(encoder, checkpoint)


def test_another_body_is_refused(w2v_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="these weights do not fit this TdnnEncoder"):
        begun("tdnn", tmp_path / "out", w2v_bert)
    with pytest.raises(CheckpointError, match="these weights do not fit this W2vBertMhfaEncoder"):
        begun("w2v-bert-mhfa", tmp_path / "wide", w2v_bert, intermediate_size=64)
