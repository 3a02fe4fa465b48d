"""Sizes in the configs of strangers are bounded: by range, and by what their weights hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.config.schema import TrainConfig
from timbral.encoders.campplus import CampplusConfig
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.registry import ENCODERS
from timbral.encoders.wavlm.wavlm_config import WavlmConfig
from timbral.errors import CheckpointError, ConfigError


@pytest.mark.parametrize("name", ENCODERS)
def test_every_size_of_an_encoder_has_an_upper_bound(name: str) -> None:
    config = ENCODERS[name].tiny_config
    for field, value in vars(config).items():
        enormous: Any = 10**18
        if isinstance(value, tuple):
            enormous = (10**18,) * len(value)
        elif type(value) is not int:
            continue
        with pytest.raises(ConfigError, match="1000000000000000000"):
            replace(config, **{field: enormous})


@pytest.mark.parametrize(
    "config",
    [
        LstmConfig(num_layers=1000, hidden_size=60_000),
        CampplusConfig(block_layers=(1000, 1000, 1000), growth_rate=60_000),
        WavlmConfig(hidden_size=49_152, num_hidden_layers=1000, intermediate_size=65_536),
    ],
    ids=["lstm", "campplus", "wavlm"],
)
def test_no_more_is_allocated_than_the_file_may_fill(config: Any, tmp_path: Path) -> None:
    """These are of 10^13 numbers: building them first would kill the process."""
    with pytest.raises(ConfigError, match="would need more than 20,002,000 weights, but the file"):
        build_encoder(config, 1_000)
    tiny = ENCODERS["lstm"].tiny_config
    saved = Checkpoint(tmp_path / "made", 1, TrainConfig(encoder=tiny), Preprocessing())
    save_checkpoint(saved, {"encoder": build_encoder(tiny)})
    path = tmp_path / "made" / "checkpoint.json"
    content = json.loads(path.read_text("utf-8"))
    name = next(name for name, cls in ENCODERS.items() if cls.config_type is type(config))
    content["config"]["encoder"] = {"name": name, **vars(config)}
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(
        CheckpointError, match=r"made: an encoder of these sizes would need more than"
    ):
        load_network(Checkpoint.read(tmp_path / "made"))
