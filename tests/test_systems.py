"""Configs of ddvc and PaddleSpeech become the TrainConfig that timbral's own would be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import sections
from timbral.cli.training import TrainOptions, train
from timbral.compat.ddvc_keys import DEFAULTS, UNCHANGED
from timbral.compat.paddlespeech import DEFAULTS as B_DEFAULTS
from timbral.compat.recipe import read_recipe
from timbral.compat.recordings import prepare_audio, with_epochs
from timbral.compat.translation import Recipe
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping
from timbral.data.augment.config import AugmentConfig, MixConfig, RoomsConfig
from timbral.data.batches.config import DataConfig
from timbral.encoders.lstm import LstmConfig
from timbral.errors import ConfigError, DataError

A: dict[str, Any] = {
    "model_name": "tdnn",
    "run_id": "first",
    "train_data_root": "audio/train",
    "val_data_root": "audio/val",
    "multi_rec_session": False,
    "model_sample_rate": 16000,
    "window_size_s": 2,
    "num_epochs": 100,
    "comet_key": "YOUR_COMET_KEY_HERE",
    "comet_project": "YOUR_COMET_PROJECT_NAME_HERE",
    "vis_train_art_every": 5,
    "vis_train_metrics_every": 1,
    "val_every": 25,
    "vis_val_art_every": 5,
    "val_max_epochs": 1,
    "backup_every": 50,
    "save_every": 25,
    "scheduler_factor": 0.6,
    "scheduler_patience": 3,
    "weight_decay": 0,
    "force_restart": True,
    "device": "cpu",
    "aug_device": "cpu",
    "num_workers": 2,
    "speakers_per_batch": 6,
    "utterances_per_speaker": 8,
    "learning_rate_init": 1e-6,
    "val_speakers_per_batch": 4,
    "val_utterances_per_speaker": 8,
    "activation_function": None,
    "use_data_augmentation": True,
    "augment_noises_paths": ["n1", "n2"],
    "augment_musics_paths": ["m"],
    "augment_reverbs_paths": ["r"],
    "data_parallel": [0, 1, 2, 3],
    "annote_point": False,
}
HIDDEN = {
    "train_only_head": False,
    "enlarge_head": False,
    "scheduler_metrics": "train_loss",
    "scheduler_metrics_avg_every": None,
    "accumalate_gradient_every_scheduler": False,
}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMET_API_KEY", raising=False)


def read_a(tmp_path: Path, *opts: str, **changes: Any) -> Recipe:
    content = {key: value for key, value in {**A, **changes}.items() if value != "GONE"}
    (tmp_path / "train_config.json").write_text(json.dumps(content, indent=4))
    return read_recipe(tmp_path / "train_config.json", opts)


def test_a_has_all_its_keys() -> None:
    assert len(A) == 36
    assert A.keys() | HIDDEN.keys() == DEFAULTS.keys() | UNCHANGED.keys() | {
        "model_name",
        "train_data_root",
    }


def test_a_as_it_is(tmp_path: Path) -> None:
    recipe = read_a(tmp_path)
    config = recipe.config
    assert config.data == DataConfig(6, 8, 2.0)
    assert config.augment == AugmentConfig(
        noise=MixConfig(0.6, ("n1", "n2"), (10.0, 15.0)),
        music=MixConfig(0.6, ("m",), (10.0, 15.0)),
        rooms=RoomsConfig(0.6, ("r",), after_sounds=True),
    )
    optimizer, trainer = config.optimizer, config.trainer
    assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-6, 0.0)
    assert (trainer.log_every, trainer.validate_every, trainer.save_every) == (1, 25, 25)
    assert (config.tracking.plot_every, config.tracking.audio_every) == (5, 5)
    run = recipe.run
    assert run.output == Path("tdnn/first")
    assert run.training_audio == Path("audio/train")
    assert run.validation_audio == Path("audio/val")
    assert (run.epochs, run.options.device, run.options.workers) == (100, "cpu", 1)
    assert run.options.force_restart
    assert not run.sessions
    assert run.options.trackers == ()
    assert [line.key for line in recipe.meanings] == list(A)
    assert all(line.became for line in recipe.meanings)


def test_a_reads_its_readmes_spellings_and_hidden_arguments(tmp_path: Path) -> None:
    changes = {f"augment_{name}s_paths": "GONE" for name in ("noise", "music", "reverb")}
    for name in ("noise", "music", "reverb"):
        changes[f"augment_{name}_paths"] = A[f"augment_{name}s_paths"]
    recipe = read_a(tmp_path, **changes, **HIDDEN)
    assert recipe.config == read_a(tmp_path).config
    assert len(recipe.meanings) == 41


def test_a_accumulates_gradients_until_its_scheduler_steps(tmp_path: Path) -> None:
    settings = {"scheduler_metrics_avg_every": 10, "accumalate_gradient_every_scheduler": True}
    recipe = read_a(tmp_path, **settings)
    schedule, trainer = recipe.config.schedule, recipe.config.trainer
    assert (trainer.gradient_accumulation_steps, trainer.validate_every, trainer.log_every) == (
        10,
        2,
        1,
    )
    assert (schedule.plateau_every, schedule.plateau_metric) == (1, "loss")
    with pytest.raises(ConfigError, match="name a metric of training"):
        read_a(tmp_path, **settings, scheduler_metrics="val_eer")


def test_a_falls_back_and_turns_off(tmp_path: Path) -> None:
    recipe = read_a(
        tmp_path,
        use_data_augmentation=False,
        val_data_root=None,
        save_every=0,
        vis_train_art_every=0,
        device="best",
        data_parallel=[0, 1],
        force_restart="GONE",
        annote_point=True,
        multi_rec_session=True,
    )
    assert recipe.config.augment == AugmentConfig()
    assert recipe.config.trainer.save_every > 10**9
    assert recipe.config.tracking.plot_every is None
    assert recipe.config.tracking.audio_every is None
    assert recipe.config.tracking.label_points
    assert recipe.run.validation_audio is None
    assert (recipe.run.options.device, recipe.run.options.workers) == ("auto", 2)
    assert recipe.run.options.force_restart
    assert recipe.run.sessions
    some = read_a(tmp_path, augment_musics_paths=[], augment_reverbs_paths=[]).config.augment
    assert (some.noise.probability, some.music.probability, some.rooms.probability) == (0.6, 0, 0)


def test_a_begins_with_published_weights(tmp_path: Path) -> None:
    from timbral.checkpoints.published import PUBLISHED

    recipe = read_a(tmp_path, model_name="campplus-zh-en")
    assert recipe.config.encoder == PUBLISHED["campplus-zh-en"].encoder
    assert recipe.run.options.init == "campplus-zh-en"
    fresh = read_a(tmp_path, model_name="campplus-zh-en-untrained")
    assert fresh.config.encoder == recipe.config.encoder
    assert fresh.run.options.init is None
    with pytest.raises(ConfigError, match="model_name: no encoder 'wavlm-bas'"):
        read_a(tmp_path, model_name="microsoft/wavlm-bas")


def test_a_key_comes_from_file_or_environment_and_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_a(tmp_path, comet_key="s3cret", comet_project="voices")
    assert (recipe.run.comet_key, recipe.run.options.project) == ("s3cret", "voices")
    assert recipe.run.options.trackers == ("comet",)
    assert "s3cret" not in repr(recipe)
    monkeypatch.setenv("COMET_API_KEY", "other")
    assert read_a(tmp_path).run.comet_key == "other"


def test_opts_come_last(tmp_path: Path) -> None:
    words = (
        "training.learning_rate_init",
        "1e-3",
        "schedule.steps",
        "7",
        "augment.noise.probability",
        "0.1",
    )
    recipe = read_a(tmp_path, *words)
    assert recipe.config.optimizer.learning_rate == 1e-3
    assert recipe.config.schedule.steps == 7
    assert recipe.config.augment.noise.probability == 0.1
    assert recipe.run.epochs is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modl_sample_rate": 1}, "did you mean 'model_sample_rate'"),
        ({"model_sample_rate": 8000}, "model_sample_rate is 8000; supported: 16 kHz"),
        ({"activation_function": "relu"}, "supported: none"),
        ({"accumalate_gradient_every_scheduler": True}, "avg_every must say after how many"),
        ({"num_epochs": "many"}, "num_epochs should be int, got 'many'"),
        ({"augment_noises_paths": "folder"}, "should be list, got 'folder'"),
        ({"force_restart": 3}, "should be bool"),
        ({"train_data_root": None}, "train_data_root is needed"),
        ({"window_size_s": 0}, "crop_seconds must lie in"),
        ({"learning_rate_init": 0.0}, "holds none; give a rate"),
    ],
)
def test_a_mistakes(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_a(tmp_path, **changes)


def test_a_rate_of_zero_is_that_of_the_run_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tdnn" / "first").mkdir(parents=True)
    content = {"config": {"optimizer": {"learning_rate": 5e-4}}}
    (tmp_path / "tdnn" / "first" / "run.json").write_text(json.dumps(content))
    assert read_a(tmp_path, learning_rate_init=0.0).config.optimizer.learning_rate == 5e-4


def test_a_audio_becomes_stores_and_epochs_steps(voices: Path, tmp_path: Path) -> None:
    recipe = read_a(tmp_path, train_data_root=str(voices), val_data_root=str(voices))
    output = tmp_path / "tdnn" / "first"
    for _ in range(2):  # the second time they are there
        training, validation = prepare_audio(recipe.run, output)
        assert training == tmp_path / "tdnn" / "first.data" / "training"
        assert validation == tmp_path / "tdnn" / "first.data" / "validation"
    utterances = 48
    assert with_epochs(recipe, training).schedule.steps == 100 * utterances // 48
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "everyone").symlink_to(voices)
    deep = replace(recipe.run, training_audio=tmp_path / "deep")
    with pytest.raises(DataError, match="set multi_rec_session to true"):
        prepare_audio(deep, tmp_path / "other")


def test_no_config_is_bs_defaults() -> None:
    recipe = read_recipe(None)
    assert recipe.config == TrainConfig(
        encoder=LstmConfig(),
        data=DataConfig(64, 10, 1.6),
        **sections(steps=1_560_000, learning_rate=1e-4, validate_every=10_000, save_every=10_000),
    )


def test_b_as_it_is_equals_ours(tmp_path: Path) -> None:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in B_DEFAULTS.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(sections))
    recipe = read_recipe(path)
    assert recipe.config == read_recipe(None).config
    assert {line.key for line in recipe.meanings} == B_DEFAULTS.keys()
    path.write_text("model: {num_layers: 2}\ntraining: {learning_rate_init: 1e-5}\n")
    words = ["training.learning_rate_init", "1e-3", "model.hidden_size", "8", "trainer.seed", "3"]
    config = read_recipe(path, words).config
    mine = {
        "encoder": {"name": "lstm", "num_layers": 2, "hidden_size": 8},
        "optimizer": {"learning_rate": 1e-3},
        "schedule": {"steps": 1_560_000},
        "trainer": {"validate_every": 10_000, "save_every": 10_000, "seed": 3},
    }
    assert config == from_mapping(TrainConfig, mine, "ours")
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(mine))
    assert read_recipe(tmp_path / "ours.yaml").config == config


def test_b_windows(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {partial_n_frames: 200, partial_overlap_ratio: 0.75}\nmodel: {}\n")
    config = read_recipe(path, ["data.partial_n_frames", "100"]).config
    assert config.encoder == LstmConfig(window_frames=100, window_step=25)
    assert config.data.crop_seconds == 1.0


def test_bs_keys_among_the_opts_of_our_config(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("encoder: {name: lstm, hidden_size: 8}\n")
    config = read_recipe(path, ["model.num_layers", "1", "training.max_iteration", "5"]).config
    assert config.encoder == LstmConfig(num_layers=1, hidden_size=8)
    assert config.schedule.steps == 5


@pytest.mark.parametrize(
    ("text", "opts", "words"),
    [
        ("model: {num_layer: 2}", [], "did you mean 'model.num_layers'"),
        ("model: 3", [], "the sections data, model, training"),
        ("model: {}\nmore: {}", [], "more: a config of PaddleSpeech has the sections"),
        ("model: {num_layers: two}", [], "a whole number is needed, got 'two'"),
        ("model: {num_layers: 2.5}", [], "a whole number is needed"),
        ("model: {}\ndata: {sampling_rate: 8000}", [], "can only be 16000: timbral trains at"),
        ("model: {}", ["model.layers", "2"], "--opts: unknown key 'model.layers'"),
        ("model: {}", ["model.num_layers"], "pairs KEY VALUE; got 1"),
    ],
)
def test_b_mistakes(tmp_path: Path, text: str, opts: list[str], words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_recipe(tmp_path / "config.yaml", opts)


def test_a_runs_from_its_file_alone(
    voices: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No --data, no --output; the second run moves the first aside."""
    changes = {
        "train_data_root": str(voices),
        "val_data_root": str(voices),
        "speakers_per_batch": 4,
        "utterances_per_speaker": 2,
        "vis_train_art_every": 0,
        "vis_val_art_every": 0,
        "use_data_augmentation": False,
        "comet_key": None,
    }
    (tmp_path / "train_config.json").write_text(json.dumps({**A, **changes}))
    monkeypatch.chdir(tmp_path)
    small = ("encoder.channels", "8", "encoder.pooled_channels", "8")
    for _ in range(2):
        train(None, TrainOptions(Path("train_config.json"), opts=("schedule.steps", "2", *small)))
    printed = capsys.readouterr().out
    assert "vis_train_metrics_every" in printed
    assert "first.1 now" in printed.replace("\n", "")
    assert (tmp_path / "tdnn" / "first" / "checkpoints" / "step-2").is_dir()
    last = json.loads((tmp_path / "tdnn/first/metrics.jsonl").read_text().splitlines()[-1])
    assert "val_eer" in last


def test_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--output is needed"):
        train(None, TrainOptions(opts=("model.num_layers", "1")))
    with pytest.raises(ConfigError, match="--data is needed"):
        train(None, TrainOptions(output=tmp_path / "run"))
    with pytest.raises(ConfigError, match="give one of them"):
        train(Path("a.yaml"), TrainOptions(Path("b.yaml")))
