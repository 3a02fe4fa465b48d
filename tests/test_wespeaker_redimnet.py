"""WeSpeaker's ReDimNet and ReDimNet2 give its vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from test_foreign import GOLDEN, assert_same, drawn
from timbral import api
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.encoders.redimnet.redimnet_config import RedimnetConfig
from timbral.encoders.redimnet.redimnet_sizes import SIZES
from timbral.errors import CheckpointError, ConfigError

SMALL = ["first", "first-convnext", "second", "second-custom"]


pytestmark = pytest.mark.usefixtures("own_cache")


def recipe_of(case: str) -> dict[str, Any]:
    content = json.loads(str(np.load(GOLDEN / "wespeaker_redimnet.npz")[f"{case}.recipe"]))
    return content or {}


def saved(case: str, folder: Path, recipe: Any = None, **changed: Tensor | None) -> Path:
    """As WeSpeaker publishes it: with the classifier of its training, the recipe beside it."""
    state = {**drawn(np.load(GOLDEN / "wespeaker_redimnet.npz"), f"{case}."), **changed}
    kept = {name: tensor for name, tensor in state.items() if tensor is not None}
    torch.save({**kept, "projection.weight": torch.zeros(7, 24)}, folder / "avg_model.pt")
    recipe = recipe_of(case) if recipe is None else recipe
    if recipe:
        text = recipe if isinstance(recipe, str) else yaml.safe_dump(recipe)
        (folder / "config.yaml").write_text(text)
    return folder / "avg_model.pt"


@pytest.mark.parametrize(
    ("case", "count"),
    [
        *((case, 2) for case in SMALL),
        *(pytest.param(case, 4, marks=pytest.mark.slow) for case in ("first-b1", "second-b1")),
    ],
)
def test_vectors_are_those_of_wespeaker(case: str, count: int, tmp_path: Path) -> None:
    golden = np.load(GOLDEN / "wespeaker_redimnet.npz")
    embedder = api.load_encoder(saved(case, tmp_path), device="cpu")
    assert_same(embedder, golden["names"][:count], golden[f"{case}.vectors"][:count])


def test_what_is_read_off_a_file(tmp_path: Path) -> None:
    first = read_foreign(saved("first-b1", tmp_path)).encoder
    size = SIZES["redimnet-b1"]
    assert isinstance(first, RedimnetConfig)
    assert (first.version, first.features, first.pooling_norm) == (1, "kaldi", False)
    for name in ("mel_strides", "blocks", "widths", "context_channels", "block", "group_divisor"):
        assert getattr(first, name) == getattr(size, name)
    (tmp_path / "second").mkdir()
    converted = read_foreign(saved("second", tmp_path / "second"))
    second = converted.encoder
    assert isinstance(second, RedimnetConfig)
    assert (second.features, second.hop_samples, second.normalize_waves) == ("tf", 160, True)
    assert converted.preprocessing.min_rms_dbfs is None


def other_recipe(case: str, **changed: Any) -> dict[str, Any]:
    recipe = recipe_of(case)
    for path, value in changed.items():
        *sections, last = path.split("__")
        inner = recipe
        for section in sections:
            inner = inner[section]
        inner[last] = value
    return recipe


SECTION = "dataset_args__tfmel_args__"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("", "needs the config.yaml of its recipe in the same folder"),
        ("a: [1", "config.yaml: is not YAML"),
        ("- 1", "should contain the sections of a WeSpeaker recipe"),
        ("model: 3", "is not the recipe of a ReDimNet2: model 3"),
        ({"model": "ResNet34"}, "is not the recipe of a ReDimNet2: model 'ResNet34'"),
        ({"model": "ReDimNet2B0"}, "dataset_args.frontend must be tfmel"),
        (other_recipe("second", dataset_args__frontend="fbank"), "frontend must be tfmel"),
        (other_recipe("second", dataset_args__tfmel_args=[1]), "tfmel_args"),
        (other_recipe("second", **{f"{SECTION}f_max": 8000}), "f_max 8000 is not known"),
        (other_recipe("second", **{f"{SECTION}hop_length": "x"}), "must be a whole number: 'x'"),
        (other_recipe("second", **{f"{SECTION}window": 1}), "the unknown key 'window'"),
        (other_recipe("second", model_args__causal="full"), "causal 'full' is not known"),
        (other_recipe("second", model_args__spec="tf"), "model_args.spec is not supported"),
    ],
    ids=str,
)
def test_recipes_that_are_not_known_are_refused(recipe: Any, words: str, tmp_path: Path) -> None:
    path = saved("second", tmp_path, recipe="" if recipe == "" else recipe)
    if recipe == "":
        (tmp_path / "config.yaml").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=words) as refused:
        read_foreign(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("case", "changed", "words"),
    [
        ("first", {"seg_2.weight": torch.zeros(24, 24)}, "two linear layers"),
        ("first", {"backbone.inputs_weights.2": None}, "these weights|not weights of"),
        ("first", {"backbone.mfa.0.weight": torch.zeros(3)}, "backbone.mfa.0.weight"),
        ("first", {"pool.linear2.weight": torch.zeros(0, 4, 1)}, "these weights|not weights of"),
        ("first", {"backbone.stage1.1.conv_block.conv1.weight": torch.zeros(2, 0, 3, 3)}, "weigh"),
        ("second", {"linear.weight": torch.zeros(24)}, "these weights|not weights of"),
        ("second", {"bn2.weight": torch.zeros(24)}, "bn2.weight"),
        (
            "second",
            {"frontend.spec.torchfbank.2.melbanks_pt": torch.zeros(24, 256, 1)},
            "unknown kind",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    case: str, changed: dict[str, Tensor | None], words: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=words) as refused:
        api.convert(saved(case, tmp_path, **changed), tmp_path / "out")
    assert "\n" not in str(refused.value).strip()
    assert not (tmp_path / "out").exists()


def test_kaldi_features_have_one_hop() -> None:
    with pytest.raises(ConfigError, match=r"needs encoder.hop_samples 160"):
        RedimnetConfig(features="kaldi")
