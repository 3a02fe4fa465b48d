"""UniSpeech's WavLM with ECAPA-TDNN, with which papers compute SIM-o, gives its vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import timbral
from test_foreign import GOLDEN, assert_same, drawn
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weight_sources import Hub
from timbral.checkpoints.weights import build_encoder, load_optimizer
from timbral.encoders.wavlm_ecapa import WavlmEcapaConfig
from timbral.errors import CheckpointError, ConfigError
from timbral.io.files import file_sha256, read_json, write_json

SMALL = WavlmEcapaConfig(
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=24,
    conv_dim=(8,) * 7,
    num_conv_pos_embeddings=8,
    num_conv_pos_embedding_groups=2,
    channels=16,
    embedding_dim=24,
)


pytestmark = pytest.mark.usefixtures("own_cache")


def weights() -> dict[str, Tensor]:
    return drawn(np.load(GOLDEN / "unispeech.npz"))


def saved(state: dict[str, Tensor], folder: Path) -> Path:
    """As the published file is: below a key, with what training needed beside it."""
    path = folder / "wavlm_large_finetune.pth"
    torch.save({"model": {**state, "loss_calculator.projection.weight": torch.zeros(7, 24)}}, path)
    return path


def test_vectors_are_those_of_unispeech(tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "unispeech.npz")
    path = saved(weights(), tmp_path)
    converted = read_foreign(path)
    assert converted.encoder == SMALL
    assert (converted.preprocessing.trim, converted.preprocessing.min_rms_dbfs) == ("none", None)
    embedder = timbral.load_encoder(path, device="cpu")
    assert_same(embedder, golden["names"], golden["vectors"])


def test_the_hub_s_copy_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one file in a folder of a repository that holds other things, too."""
    golden = np.load(GOLDEN / "unispeech.npz")
    source = PUBLISHED["wavlm-sim-o"].source
    assert isinstance(source, Hub)
    path = tmp_path / source.files[0]
    path.parent.mkdir()
    saved(weights(), path.parent)
    monkeypatch.setattr(Hub, "_snapshot", lambda self, again: tmp_path)
    folder = timbral.download("wavlm-sim-o")
    origin = Checkpoint.read(folder).origin
    assert origin["version"] == source.revision
    assert origin["files"] == {path.name: file_sha256(path)}
    embedder = timbral.load_encoder("wavlm-sim-o", device="cpu")
    assert_same(embedder, golden["names"], golden["vectors"])
    assert timbral.download("wavlm-sim-o", path) == folder, "a copy of one's own"


def test_checkpoints_of_older_versions_are_read(tmp_path: Path) -> None:
    """The head's tensors were the encoder's own once, in weights and in the optimizer's state."""
    golden = np.load(GOLDEN / "unispeech.npz")
    folder = tmp_path / "run"
    timbral.load_encoder(saved(weights(), tmp_path), device="cpu").save(folder)
    path = folder / "model.safetensors"
    named = load_file(path)
    save_file({name.replace(".pooling.", "."): each for name, each in named.items()}, path)
    metadata = read_json(folder / "checkpoint.json")
    write_json(folder / "checkpoint.json", {**metadata, "weights_sha256": file_sha256(path)})
    embedder = timbral.load_encoder(folder, device="cpu")
    assert_same(embedder, golden["names"], golden["vectors"])

    network = build_encoder(SMALL)
    parameters = dict(network.named_parameters())
    optimizer = torch.optim.Adam(parameters.values())
    kept = {
        f"encoder.{name.replace('pooling.', '', 1)}:{key}": torch.full_like(each, 2.0)
        for name, each in parameters.items()
        for key in ("exp_avg", "exp_avg_sq")
    }
    steps = {f"{name.partition(':')[0]}:step": torch.tensor(3.0) for name in kept}
    save_file({**kept, **steps}, folder / "optimizer.safetensors")
    load_optimizer(Checkpoint.read(folder), optimizer, {"encoder": network})
    assert optimizer.state[network.pooling.fc.weight]["exp_avg"].mean() == 2.0
    assert len(optimizer.state) == len(parameters)


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    state = weights()
    wide = {**state, "layer3.shortcut.weight": torch.zeros(16, 16, 1)}
    with pytest.raises(CheckpointError, match="different widths"):
        read_foreign(saved(wide, tmp_path))
    seen = {**state, "pooling.linear1.weight": torch.zeros(128, 3 * 1536, 1)}
    with pytest.raises(CheckpointError, match="global context"):
        read_foreign(saved(seen, tmp_path))
    missing = {name: each for name, each in state.items() if name != "linear.weight"}
    with pytest.raises(CheckpointError, match=r"linear\.weight"):
        read_foreign(saved(missing, tmp_path))
    with pytest.raises(ConfigError, match="equally long"):
        WavlmEcapaConfig(conv_stride=(5, 2))
    with pytest.raises(ConfigError, match="res2net_scale"):
        WavlmEcapaConfig(channels=100)
