"""ReDimNet and ReDimNet2 give their authors' vectors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping
from timbral.encoders.redimnet.redimnet_config import RedimnetConfig
from timbral.encoders.redimnet.redimnet_encoder import RedimnetEncoder
from timbral.encoders.redimnet.redimnet_sizes import SIZES
from timbral.errors import CheckpointError, ConfigError

SMALL = ["first", "first-convnext", "second", "second-dual", "second-rows"]
LARGE = {"first-b2": "redimnet-b2", "second-b1": "redimnet2-b1", "second-b2": "redimnet2-b2"}
LARGE["b3"] = "redimnet2-b3"


pytestmark = pytest.mark.usefixtures("own_cache")


def published(case: str) -> dict[str, Any]:
    """What a file of the authors holds: settings, weights, and what makes the features."""
    golden = np.load(GOLDEN / "redimnet.npz")
    state = drawn(golden, f"{case}.")
    start = f"{case}.buffers."
    for name in golden:
        if name.startswith(start):
            state[name.removeprefix(start)] = torch.from_numpy(golden[name])
    if case == "second":  # too large to be kept
        turns = np.outer(np.arange(256), np.arange(400)) / 512
        kernel = (np.cos(2 * np.pi * turns) * np.hamming(400)).astype(np.float32)
        state["spec.torchfbank.2.real_kernel_pt"] = torch.from_numpy(kernel)[:, None]
    return {"model_config": json.loads(str(golden[f"{case}.config"])), "state_dict": state}


@pytest.mark.parametrize(
    ("case", "count"),
    [
        *((case, 2) for case in SMALL),
        *(pytest.param(case, 4, marks=pytest.mark.slow) for case in LARGE),
    ],
)
def test_vectors_are_those_of_the_authors(case: str, count: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "redimnet.npz")
    torch.save(published(case), tmp_path / "b3-vox2-lm.pt")
    if case in LARGE:
        assert read_foreign(tmp_path / "b3-vox2-lm.pt").encoder == SIZES[LARGE[case]]
    embedder = api.load_encoder(tmp_path / "b3-vox2-lm.pt", device="cpu")
    assert_same(embedder, golden["names"][:count], golden[f"{case}.vectors"][:count])


def changed(case: str, *, settings: Any = (), tensors: Any = ()) -> dict[str, Any]:
    file = published(case)
    return {
        "model_config": {**file["model_config"], **dict(settings)},
        "state_dict": {**file["state_dict"], **dict(tensors)},
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"causal": "full"}, "model_config.causal 'full' is not known, only 'none'"),
        ({"pooling_func": "MQMHASTP"}, "pooling_func 'MQMHASTP' is not known"),
        ({"feat_type": "pt_stft"}, "feat_type 'pt_stft' is not known"),
        ({"feat_type": "pt"}, "the features of this ReDimNet are 'torchaudio', but"),
        ({"block_1d_type": "sdwm_conv"}, "block_1d_type 'sdwm_conv' is not known"),
        ({"dilations": [1, 2]}, "model_config has the unknown key 'dilations'"),
        ({"spec_params": {"f_max": 8000}}, "spec_params.f_max 8000 is not known, only 7600"),
        ({"spec_params": None}, "spec_params is missing; it is required"),
        ({"hop_length": 10**18}, "hop_length must be a whole number from 1 to 65536"),
        ({"hop_length": "160"}, "hop_length must be a whole number"),
        ({"group_divisor": None}, "group_divisor must be a whole number"),
        ({"agg_gnorm": 3}, "agg_gnorm 3 is not known"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_are_not_known_are_refused(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    torch.save(changed("second", settings=settings), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=words) as refused:
        read_foreign(tmp_path / "weights.pt")
    assert "\n" not in str(refused.value)


def other_tensors(state: dict[str, Tensor]) -> dict[str, tuple[dict[str, Tensor], str]]:
    """Tensors that do not fit, and what is said of them."""
    stem, conv = "backbone.stem.0.weight", "backbone.stage2.2.weight"
    filters = "spec.torchfbank.2.melbanks_pt"
    return {
        "no channels": ({stem: torch.zeros(0, 1, 3, 3)}, "not weights of"),
        "flat convolution": ({conv: torch.zeros(6, 4)}, "not weights of"),
        "stride of none": ({conv: torch.zeros(6, 2, 1, 0)}, "not weights of|stages do not match"),
        "stride of three": ({conv: torch.zeros(6, 2, 1, 3)}, "stages do not match|these weights"),
        "other filters": ({filters: state[filters] * 1.1}, "melbanks_pt is not known"),
        "no bias": ({"bn.weight": torch.zeros(3)}, "not weights of|these weights"),
        "more": ({"backbone.mfa.0.weight": torch.zeros(3)}, "backbone.mfa.0.weight"),
        "second norm": ({"bn2.weight": torch.zeros(24)}, "bn2.weight"),
    }


@pytest.mark.parametrize(
    "what", sorted(other_tensors({"spec.torchfbank.2.melbanks_pt": torch.ones(1)}))
)
def test_tensors_that_do_not_fit_are_refused(what: str, tmp_path: Path) -> None:
    tensors, words = other_tensors(published("second")["state_dict"])[what]
    torch.save(changed("second", tensors=tensors), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=words) as refused:
        api.convert(tmp_path / "weights.pt", tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_weights_alone_and_other_weights_are_refused(tmp_path: Path) -> None:
    path, file = tmp_path / "weights.pt", published("first")
    torch.save(file["state_dict"], path)
    with pytest.raises(CheckpointError, match="do not say which features they need"):
        read_foreign(path)
    torch.save({"model_config": file["model_config"], "state_dict": {"a": torch.ones(2)}}, path)
    with pytest.raises(CheckpointError, match=r"backbone.fin_wght1d.w is missing"):
        read_foreign(path, "redimnet")
    for name in ("backbone.stage1.2.weight", "pool.linear2.bias", "backbone.stage0.2.bias"):
        state = {key: value for key, value in file["state_dict"].items() if key != name}
        torch.save({**file, "state_dict": state}, path)
        with pytest.raises(CheckpointError):
            api.convert(path, tmp_path / "out")


COUNTS = {
    "redimnet-b0": 1_004_250,
    "redimnet-b1": 2_126_936,
    "redimnet-b2": 4_892_848,
    "redimnet-b3": 3_225_020,
    "redimnet-b4": 6_441_520,
    "redimnet-b5": 7_659_760,
    "redimnet-b6": 15_015_472,
    "redimnet2-b0": 1_126_452,
    "redimnet2-b1": 2_176_464,
    "redimnet2-b2": 3_696_480,
    "redimnet2-b3": 4_204_040,
    "redimnet2-b4": 6_689_696,
    "redimnet2-b5": 9_004_200,
    "redimnet2-b6": 12_454_688,
}


def test_sizes_are_those_of_the_authors() -> None:
    """What their classes count, but for the weights of sums of one map, which are none."""
    found = {}
    with torch.device("meta"):
        for name, size in SIZES.items():
            parameters = RedimnetEncoder(size).parameters()
            found[name] = sum(parameter.numel() for parameter in parameters)
    assert found == COUNTS


def test_a_size_is_a_name_in_configs() -> None:
    content = {"encoder": {"name": "redimnet-b1", "embedding_dim": 256}}
    encoder = from_mapping(TrainConfig, content, "config.yaml").encoder
    assert encoder == replace(SIZES["redimnet-b1"], embedding_dim=256)
    for wrong, words in {
        "redimnet-b11": "did you mean 'redimnet-b1'",
        ("redimnet-b1",): "a name, or a mapping with a name, is needed",
    }.items():
        with pytest.raises(ConfigError, match=words):
            from_mapping(TrainConfig, {"encoder": wrong}, "config.yaml")
    for settings, words in (
        ({"name": ["redimnet-b1"]}, "unknown name"),
        ({"name": "redimnet-b1", "blocks": [1]}, "need one number per stage"),
        ({"name": "redimnet-b1", "chanels": 3}, "did you mean 'channels'"),
    ):
        with pytest.raises(ConfigError, match=words):
            from_mapping(TrainConfig, {"encoder": settings}, "config.yaml")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"blocks": (1, 2)}, "need one number per stage"),
        ({"version": 1}, r"frame_strides must be numbers from 1 to 1 \(version 1\)"),
        ({"frame_strides": (16,) * 6}, "product of encoder.frame_strides must be at most 65,536"),
        ({"mels": 70}, "must be a multiple of the product of mel_strides"),
        ({"context_channels": (70,) * 6}, "must be multiples of 4"),
        ({"group_divisor": 5}, "widths of group_divisor"),
        ({"block": "plain"}, "encoder.block: .* allowed: convnext, resnet, resnet-fwse"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RedimnetConfig(**sizes)
