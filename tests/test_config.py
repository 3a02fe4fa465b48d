"""Configs: strict, with errors that name the near key; every shipped one can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, load_config, to_mapping
from timbral.demo.whole_job import CONFIG
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.tdnn import TdnnConfig
from timbral.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / "src" / "timbral" / "config" / "recipes"
RECIPES = REPOSITORY / "recipes"
SHIPPED = [*sorted(CONFIGS.glob("*.yaml")), *sorted(RECIPES.glob("*/*.yaml")), CONFIG]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_build_and_come_back(path: Path) -> None:
    config = load_config(path)
    with torch.device("meta"):  # hundreds of millions of weights need not be drawn
        build_encoder(config.encoder)
    assert from_mapping(TrainConfig, to_mapping(config), "again") == config


@pytest.mark.parametrize("steps", ["1e3", "1000.0", "1_000", "1000"])
def test_whole_floats_are_whole_numbers(tmp_path: Path, steps: str) -> None:
    config = load_config(write(tmp_path, "encoder: lstm"), ["schedule.steps", steps])
    assert config.schedule.steps == 1000
    assert isinstance(config.schedule.steps, int)


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "c.yaml").write_text(text)
    return tmp_path / "c.yaml"


def test_defaults_are_paddlespeechs(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "encoder: lstm"))
    assert config.encoder == LstmConfig(num_layers=3, hidden_size=256, embedding_dim=256)
    assert (config.data.speakers_per_batch, config.data.utterances_per_speaker) == (64, 10)
    assert config.optimizer.learning_rate == 1e-4
    assert config.optimizer.max_grad_norm == 3.0


def test_overrides_come_last(tmp_path: Path) -> None:
    path = write(tmp_path, "encoder: tdnn\nschedule: {steps: 7}")
    words = ["schedule.steps", "9", "encoder.channels", "8", "optimizer.learning_rate", "1e-5"]
    config = load_config(path, words)
    assert config.schedule.steps == 9
    assert config.encoder == TdnnConfig(channels=8)
    assert config.optimizer.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shedule: {}", "unknown key 'shedule'; did you mean 'schedule'"),
        ("steps: 9", r"unknown key 'steps'; did you mean schedule\.steps\?"),
        ("schedule: {seed: 9}", r"schedule: unknown key 'seed'; did you mean trainer\.seed\?"),
        ("schedule: {step: 3}", "did you mean 'steps'"),
        ("encoder: lsmt", "did you mean 'lstm'"),
        ("encoder: {name: lstm, hidden: 3}", r"encoder \(lstm\): unknown key 'hidden'"),
        ("schedule: {steps: 1.5}", "steps: should be int, got 1.5"),
        ("schedule: {steps: many}", "steps: should be int, got 'many'"),
        ("schedule: {steps: 0}", "steps must be at least 1"),
        ("schedule: {max_minutes: 0}", "max_minutes must be in"),
        ("optimizer: {learning_rate: .nan}", "learning_rate must be in"),
        ("schedule: {warmup_steps: -1}", "warmup_steps must be at least 0"),
        ("optimizer: {max_grad_norm: -3}", "max_grad_norm must be in"),
        ("trainer: {seed: -1}", "seed must be in"),
        ("schedule: {steps: true}", "steps: should be int, got True"),
        ("encoder: {name: lstm, hidden_size: 0}", r"hidden_size must be in \[1, 65536\]"),
        ("encoder: {name: tdnn, stride: 0}", "stride must be in"),
        ("encoder: {name: campplus, block_layers: [1, 2]}", "block_layers must be three numbers"),
        (
            "encoder: {name: campplus-small, block_outputs: [8, 0, 8]}",
            "block_outputs must be three",
        ),
        ("encoder: {name: campplus-small, squeezed_channels: 0}", "squeezed_channels must be in"),
        ("encoder: 5", "a name, or a mapping with a name"),
        ("encoder: [lstm]", "a name, or a mapping with a name"),
        ("schedule: {decay: cosin}", "did you mean 'cosine'"),
        ("data: {speakers_per_batch: 1}", "speakers_per_batch must be at least 2"),
        ("data: [1, 2]", "a mapping is needed"),
        ("just text", "should contain the sections"),
        ("a: [", "is not YAML"),
        ("a: 2001-99-99", "is not YAML"),
        ("[" * 5_000, "is nested too deeply"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schedule: {steps: 1}\ntrainer: {}\nschedule: {}\n", "'schedule' is given twice.*1 and 3"),
        ("schedule:\n  steps: 1\n  steps: 2\n", "the key 'steps' is given twice.*lines 2 and 3"),
        ('{"schedule": {"steps": 1, "steps": 2}}', "the key 'steps' is given twice"),
    ],
)
def test_a_key_given_twice_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_json_with_tabs_and_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('\ufeff{\r\n\t"schedule": {\r\n\t\t"steps": 7\r\n\t}\r\n}', "utf-8")
    assert load_config(path).schedule.steps == 7


def test_missing_file_and_odd_overrides(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    path = write(tmp_path, "encoder: lstm")
    with pytest.raises(ConfigError, match="pairs KEY VALUE; got 1"):
        load_config(path, ["schedule.steps"])
    with pytest.raises(ConfigError, match="is not a YAML value"):
        load_config(path, ["schedule.steps", "["])
    for key, words in (
        ("schedule.speed", r"^`overrides`: schedule: unknown key 'speed'"),
        ("encoder", r"^`overrides`: encoder: unknown name 'tdn'"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_config(path, [key, "tdn"])
    path.write_text("encoder: lstm\nschedule: {stepz: 3}\n")
    with pytest.raises(ConfigError, match=f"^{path}: schedule: unknown key 'stepz'"):
        load_config(path, ["trainer.seed", "3"])
