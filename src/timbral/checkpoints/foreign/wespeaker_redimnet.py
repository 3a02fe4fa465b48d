"""ReDimNet and ReDimNet2 of WeSpeaker, ``avg_model.pt`` of its recipes.

Their tensors are the authors' under other names. ReDimNet takes Kaldi's filter banks, ReDimNet2 the
authors' features, whose settings are only in WeSpeaker's config.yaml next to the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timbral.checkpoints.foreign.base import (
    Content,
    ConvertedWeights,
    WeightsFormat,
    check_marks,
)
from timbral.checkpoints.foreign.redimnet import MARKS as AUTHORS_MARKS
from timbral.checkpoints.foreign.redimnet import WESPEAKER_FRONT_END, converted, is_wespeakers
from timbral.checkpoints.foreign.redimnet_settings import Settings, check_features, check_network
from timbral.checkpoints.foreign.wespeaker_classifier import without_classifier
from timbral.config.parsing import parse_document
from timbral.encoders.redimnet.redimnet_config import KALDI_HOP
from timbral.errors import CheckpointError, ConfigError

__all__ = ["WESPEAKER_REDIMNET"]

FIRST_MARKS = (
    "backbone.inputs_weights.1",
    "backbone.stem.0.weight",
    "pool.linear1.weight",
    "pool.linear2.weight",
    "seg_1.weight",
)
SUMS = re.compile(r"^backbone\.inputs_weights\.(\d+)$")
STAGE = re.compile(r"^backbone\.stage(\d+)\.(\d+)\.")
GROUPED = re.compile(r"conv_block\.(?:conv1|dwconvs\.0)\.weight$")
RECIPE = "config.yaml"
SECOND = re.compile(r"^ReDimNet2(?:Wrap|Custom|B\d)$")
HOP = 160
"""default of the front-end's class, if the recipe gives none"""
FLATTENED = "ReDimNet2B6"
"""class that, unlike the others, pools mel by mel within each channel by default"""


def convert(content: Content) -> ConvertedWeights:
    """Convert any size of either with a single linear layer."""
    state = {
        key.removeprefix(WESPEAKER_FRONT_END): tensor
        for key, tensor in without_classifier(content).items()
    }
    if "seg_2.weight" in state:
        raise CheckpointError("a ReDimNet of WeSpeaker with two linear layers is not supported")
    if FIRST_MARKS[0] in state:
        return converted(_as_authors(state), _first_settings(state), content.step)
    check_marks(state, AUTHORS_MARKS, "WeSpeaker's ReDimNet")
    return converted(state, _second_settings(state, content.recipe), content.step)


def _as_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ReDimNet's tensors under its authors' names.

    WeSpeaker keeps the sums of maps outside of the stages, so numbers of a stage's layers are two
    lower.
    """
    last = sum(bool(SUMS.match(key)) for key in state) - 1
    renamed = {}
    for key, tensor in state.items():
        name = STAGE.sub(lambda found: f"backbone.stage{found[1]}.{int(found[2]) + 2}.", key)
        if sums := SUMS.match(key):
            index = int(sums[1])
            name = f"backbone.stage{index}.0.w" if index < last else "backbone.fin_wght1d.w"
        renamed[name.replace("seg_1.", "linear.")] = tensor
    return renamed


def _first_settings(state: Mapping[str, Tensor]) -> Settings:
    return Settings(
        version=1,
        group_divisor=_group_divisor(state),
        features="kaldi",
        hop_samples=KALDI_HOP,
        normalize_waves=False,
        pools_channels_first=False,
    )


def _group_divisor(state: Mapping[str, Tensor]) -> int:
    """Channels per group of the blocks' convolutions: the smallest number of all."""
    return min((tensor.shape[1] for key, tensor in state.items() if GROUPED.search(key)), default=1)


def _second_settings(state: Mapping[str, Tensor], text: str) -> Settings:
    """Settings of a ReDimNet2, from its tensors and WeSpeaker's recipe."""
    recipe = _read_recipe(text)
    name = recipe.get("model")
    network = recipe.get("model_args") or {}
    data = recipe.get("dataset_args")
    if not isinstance(name, str) or not SECOND.match(name) or not isinstance(network, Mapping):
        raise CheckpointError(f"{RECIPE} is not the recipe of a ReDimNet2: model {name!r:.60}")
    if not isinstance(data, Mapping) or data.get("frontend") != "tfmel":
        raise CheckpointError(
            f"{RECIPE}: dataset_args.frontend must be tfmel; others are not supported"
        )
    features = data.get("tfmel_args") or {}
    if not isinstance(features, Mapping) or network.get("spec") not in (None, "fbank"):
        raise CheckpointError(
            f"{RECIPE}: dataset_args.tfmel_args or model_args.spec is not supported"
        )
    check_network(
        {key: value for key, value in network.items() if key not in ("feat_dim", "spec")},
        f"{RECIPE}: model_args",
    )
    own = {key: value for key, value in features.items() if key not in ("n_mels", "hop_length")}
    check_features(own, f"{RECIPE}: tfmel_args")
    hop = features.get("hop_length", HOP)
    if type(hop) is not int or not 1 <= hop <= 65_536:
        raise CheckpointError(
            f"{RECIPE}: tfmel_args.hop_length must be a whole number: {hop!r:.60}"
        )
    return Settings(
        version=2,
        group_divisor=_group_divisor(state),
        features="tf",
        hop_samples=hop,
        normalize_waves=bool(features.get("norm_signal", False)),
        pools_channels_first=bool(network.get("return_2d_output", name == FLATTENED)),
    )


def _read_recipe(text: str) -> Mapping[str, Any]:
    if not text:
        raise CheckpointError(
            "WeSpeaker's ReDimNet2 needs the config.yaml of its recipe in the same folder, as "
            "published: the weights do not say which features they need"
        )
    try:
        recipe = parse_document(text, RECIPE)
    except ConfigError as error:
        raise CheckpointError(" ".join(str(error).split())) from None
    if not isinstance(recipe, Mapping):
        raise CheckpointError(f"{RECIPE}: should contain the sections of a WeSpeaker recipe")
    return recipe


WESPEAKER_REDIMNET = WeightsFormat(
    "ReDimNet and ReDimNet2 of WeSpeaker, avg_model.pt",
    (FIRST_MARKS, AUTHORS_MARKS),
    convert,
    lambda content: FIRST_MARKS[0] in content.values or is_wespeakers(content),
)
