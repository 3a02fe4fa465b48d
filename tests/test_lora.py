"""Initial weights that do not fill the whole encoder: low-rank updates, random heads."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from timbral import api
from timbral.checkpoints.weights import build_encoder, load_weights
from timbral.errors import CheckpointError

GOLDEN = Path(__file__).parent / "golden"


pytestmark = pytest.mark.usefixtures("own_cache")


@torch.no_grad()
def test_untrained_lora_gives_the_vectors_of_the_encoder_it_updates() -> None:
    checkpoint = api.resolve(GOLDEN / "wavlm-base-tiny")
    plain = api.load_encoder(GOLDEN / "wavlm-base-tiny", device="cpu").network
    updated = build_encoder(replace(checkpoint.config.encoder, lora_rank=2))
    load_weights(updated, checkpoint)
    waves, lengths = torch.randn(2, 16_000), torch.tensor([16_000, 9_000])
    torch.testing.assert_close(updated.eval()(waves, lengths), plain(waves, lengths))
    trainable = [
        name for name, tensor in updated.transformer.named_parameters() if tensor.requires_grad
    ]
    assert trainable
    assert all("lora_" in name for name in trainable)


def test_a_random_head_may_have_another_size(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "wavlm-base-tiny", tmp_path / "bare")
    path = tmp_path / "bare" / "model.safetensors"
    whole = safetensors.torch.load_file(path)
    bare = {key: value for key, value in whole.items() if key.startswith("wavlm.")}
    safetensors.torch.save_file(bare, path)
    checkpoint = api.resolve(tmp_path / "bare")
    assert checkpoint.uninitialized_prefixes == ("head.",)
    larger = build_encoder(replace(checkpoint.config.encoder, embedding_dim=24))
    head = larger.head.linear.weight.clone()
    load_weights(larger, checkpoint)
    assert torch.equal(larger.head.linear.weight, head)
    trained = api.resolve(GOLDEN / "wavlm-base-tiny")
    other = build_encoder(replace(trained.config.encoder, embedding_dim=24))
    with pytest.raises(CheckpointError, match=r"head\.linear\.weight has shape"):
        load_weights(other, trained)
