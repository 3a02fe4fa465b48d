"""WeSpeaker's ResNets give their vectors, also out of pyannote's wrapper of them."""

from __future__ import annotations

import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.resnet import ResnetConfig
from timbral.errors import CheckpointError

CONFIGS = {
    "basic": ResnetConfig((1, 2, 1, 1), False, 4, 24),
    "bottleneck": ResnetConfig((1, 1, 2, 1), True, 4, 16, second_linear=True),
    "resnet34": ResnetConfig(),
}


pytestmark = pytest.mark.usefixtures("own_cache")


def weights(case: str) -> dict[str, Tensor]:
    return drawn(np.load(GOLDEN / "wespeaker.npz"), f"{case}.")


@pytest.mark.parametrize(
    "case", ["basic", "bottleneck", pytest.param("resnet34", marks=pytest.mark.slow)]
)
def test_vectors_are_those_of_wespeaker(case: str, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "wespeaker.npz")
    torch.save(
        {**weights(case), "projection.weight": torch.zeros(7, 24)}, tmp_path / "avg_model.pt"
    )
    assert read_foreign(tmp_path / "avg_model.pt").encoder == CONFIGS[case]
    embedder = api.load_encoder(tmp_path / "avg_model.pt", device="cpu")
    assert_same(embedder, golden["names"], golden[f"{case}.vectors"])


def pyannote_file(path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as pyannote writes it: Lightning's, with objects of its own classes beside."""
    module: Any = types.ModuleType("pyannote.audio.core.task")
    names = {"__module__": module.__name__, "__qualname__": "Problem"}
    module.Problem = Enum("Problem", {"REPRESENTATION": 1}, module=module.__name__)
    module.Specifications = type("Specifications", (), {**names, "__qualname__": "Specifications"})
    specifications = module.Specifications()
    specifications.problem, specifications.duration = module.Problem.REPRESENTATION, 5.0
    content = {
        "state_dict": {f"resnet.{name}": tensor for name, tensor in state.items()},
        "pytorch-lightning_version": "2.1.1",
        "hyper_parameters": {"sample_rate": 16_000, "num_channels": 1},
        "pyannote.audio": {
            "versions": {"torch": torch.torch_version.TorchVersion("2.1.1")},
            "specifications": specifications,
        },
    }
    with monkeypatch.context() as patch:
        for name in ("pyannote", "pyannote.audio", "pyannote.audio.core"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save(content, path)


@pytest.mark.parametrize("format", [None, "pyannote"])
def test_pyannotes_wrapper(
    format: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = tmp_path / "pytorch_model.bin", weights("basic")
    pyannote_file(path, state, monkeypatch)
    assert "pyannote" not in sys.modules
    read = read_foreign(path, format)
    assert read.encoder == CONFIGS["basic"]
    torch.save(state, tmp_path / "avg_model.pt")
    plain = read_foreign(tmp_path / "avg_model.pt", "wespeaker").tensors
    assert read.tensors.keys() == plain.keys()
    assert all(torch.equal(read.tensors[name], plain[name]) for name in plain)


def test_other_resnets_are_refused(tmp_path: Path) -> None:
    path, state = tmp_path / "avg_model.pt", weights("basic")
    for changed, words in (
        ({"seg_1.weight": state["seg_1.weight"][:, :320]}, "takes 320 numbers instead of 640"),
        ({"pool.linear1.weight": torch.zeros(2, 2, 1)}, "its pooling has weights"),
        ({"layer2.0.conv1.weight": torch.zeros(8, 4, 3)}, "these weights"),
        ({"front.weight": torch.zeros(2)}, "front.weight"),
    ):
        torch.save({**state, **changed}, path)
        with pytest.raises(CheckpointError, match=words):
            api.convert(path, tmp_path / "out")
    del state["layer4.0.conv2.weight"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"layer4\.0\.conv2\.weight is missing"):
        read_foreign(path, "wespeaker")
