"""PaddleSpeech's config.yaml becomes the TrainConfig that timbral's own file would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import sections
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.cached_weights import weights_folder
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.cli.verbs import train
from timbral.compat.paddlespeech import DEFAULTS
from timbral.compat.recipe import read_recipe
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping
from timbral.data.batches.data_config import DataConfig
from timbral.data.prepared.store import Store
from timbral.encoders.lstm import LstmConfig
from timbral.errors import ConfigError


def test_no_config_is_paddlespeechs_defaults() -> None:
    recipe = read_recipe(None)
    assert recipe.config == TrainConfig(
        encoder=LstmConfig(),
        data=DataConfig(64, 10, 1.6),
        **sections(steps=1_560_000, learning_rate=1e-4, validate_every=10_000, save_every=10_000),
    )


def test_default_config_is_translated(tmp_path: Path) -> None:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in DEFAULTS.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(sections))
    recipe = read_recipe(path)
    assert recipe.config == read_recipe(None).config
    assert {line.key for line in recipe.translations} == DEFAULTS.keys()
    path.write_text("model: {num_layers: 2}\ntraining: {learning_rate_init: 1e-5}\n")
    words = ["training.learning_rate_init", "1e-3", "model.hidden_size", "8", "trainer.seed", "3"]
    config = read_recipe(path, words).config
    own = {
        "encoder": {"name": "lstm", "num_layers": 2, "hidden_size": 8},
        "optimizer": {"learning_rate": 1e-3},
        "schedule": {"steps": 1_560_000},
        "trainer": {"validate_every": 10_000, "save_every": 10_000, "seed": 3},
    }
    assert config == from_mapping(TrainConfig, own, "timbral")
    (tmp_path / "timbral.yaml").write_text(yaml.safe_dump(own))
    assert read_recipe(tmp_path / "timbral.yaml").config == config


def test_windows_are_translated(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {partial_n_frames: 200, partial_overlap_ratio: 0.75}\nmodel: {}\n")
    config = read_recipe(path, ["data.partial_n_frames", "100"]).config
    assert config.encoder == LstmConfig(window_frames=100, window_step=25)
    assert config.data.crop_seconds == 1.0


def test_paddlespeechs_keys_among_the_opts_of_a_timbral_config(tmp_path: Path) -> None:
    path = tmp_path / "timbral.yaml"
    path.write_text("encoder: {name: lstm, hidden_size: 8}\n")
    config = read_recipe(path, ["model.num_layers", "1", "training.max_iteration", "5"]).config
    assert config.encoder == LstmConfig(num_layers=1, hidden_size=8)
    assert config.schedule.steps == 5


@pytest.mark.parametrize(
    ("text", "opts", "words"),
    [
        ("model: {num_layer: 2}", [], "did you mean 'model.num_layers'"),
        ("model: 3", [], "the sections data, model and training"),
        ("model: {}\nmore: {}", [], "more: a config of PaddleSpeech has the sections"),
        ("model: {num_layers: two}", [], "a whole number is needed, got 'two'"),
        ("model: {num_layers: 2.5}", [], "a whole number is needed"),
        ("model: {num_layers: .inf}", [], "a whole number is needed"),
        ("model: {}\ndata: {sampling_rate: 8000}", [], "can only be 16000: timbral trains at"),
        ("model: {}", ["model.layers", "2"], "`opts`: unknown key 'model.layers'"),
        ("model: {}", ["model.num_layers"], "pairs KEY VALUE; got 1"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, opts: list[str], words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_recipe(tmp_path / "config.yaml", opts)


def test_missing_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--output is needed"):
        train.run(None, train.Sources(opts=("model.num_layers", "1")))
    with pytest.raises(ConfigError, match="data is required"):
        train.run(None, train.Sources(output=tmp_path / "run"))


def test_default_config_trains_from_published_weights(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PaddleSpeech's file, a small batch; a folder of the weights' name does not hide them."""
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    folder = weights_folder("ge2e-lstm")
    published = Checkpoint(
        folder, 0, TrainConfig(encoder=LstmConfig()), Preprocessing(), name="ge2e-lstm"
    )
    encoder = build_encoder(LstmConfig())
    save_checkpoint(published, {"encoder": encoder})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ge2e-lstm").mkdir()
    sections: dict[str, dict[str, Any]] = {}
    for key, value in DEFAULTS.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    Path("config.yaml").write_text(yaml.safe_dump(sections))
    small = {"max_iteration": "2", "speakers_per_batch": "4", "utterances_per_speaker": "2"}
    opts = [word for key, value in small.items() for word in (f"training.{key}", value)]
    sources = train.Sources(data=store.folder, output=Path("run"), opts=tuple(opts))
    options = train.Options(init="ge2e-lstm", validation_speakers="0", device="cpu")
    assert train.run(Path("config.yaml"), sources, options) == 0
    trained = load_network(api.resolve("run"))
    moved = [
        float((after - before).detach().abs().max())
        for before, after in zip(encoder.parameters(), trained.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 1e-3  # two steps at 1e-4 from the published weights
