"""ddvc's train_config.json becomes the TrainConfig that timbral's own file would be."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from conftest import SMALL
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.cached_weights import weights_folder
from timbral.checkpoints.checkpoint import Checkpoint, save_checkpoint
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weights import build_encoder, load_network
from timbral.cli.verbs import train
from timbral.compat.ddvc_keys import DEFAULTS, IGNORED_KEYS
from timbral.compat.ddvc_stores import prepare_audio, with_epochs
from timbral.compat.recipe import read_recipe
from timbral.compat.translation import Recipe
from timbral.config.schema import TrainConfig
from timbral.data.augment.augment_config import AugmentConfig, BackgroundConfig, RirConfig
from timbral.data.batches.data_config import DataConfig
from timbral.errors import CheckpointError, ConfigError, DataError

CONFIG: dict[str, Any] = {
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
HIDDEN_ARGUMENTS = {
    "train_only_head": False,
    "enlarge_head": False,
    "scheduler_metrics": "train_loss",
    "scheduler_metrics_avg_every": None,
    "accumalate_gradient_every_scheduler": False,
}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMET_API_KEY", raising=False)


def read_config(tmp_path: Path, *opts: str, **changes: Any) -> Recipe:
    content = {key: value for key, value in {**CONFIG, **changes}.items() if value != "ABSENT"}
    (tmp_path / "train_config.json").write_text(json.dumps(content, indent=4))
    return read_recipe(tmp_path / "train_config.json", opts)


def test_all_keys_are_known() -> None:
    assert len(CONFIG) == 36
    assert CONFIG.keys() | HIDDEN_ARGUMENTS.keys() == DEFAULTS.keys() | IGNORED_KEYS.keys() | {
        "model_name",
        "train_data_root",
    }


def test_shipped_config_is_translated(tmp_path: Path) -> None:
    recipe = read_config(tmp_path)
    config = recipe.config
    assert config.data == DataConfig(6, 8, 2.0)
    assert config.augment == AugmentConfig(
        noise=BackgroundConfig(0.6, ("n1", "n2"), (10.0, 15.0)),
        music=BackgroundConfig(0.6, ("m",), (10.0, 15.0)),
        rir=RirConfig(0.6, ("r",), apply_after_noise=True),
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
    assert [line.key for line in recipe.translations] == list(CONFIG)
    assert all(line.mapped_to for line in recipe.translations)


def test_readme_spellings_and_hidden_arguments(tmp_path: Path) -> None:
    changes = {f"augment_{name}s_paths": "ABSENT" for name in ("noise", "music", "reverb")}
    for name in ("noise", "music", "reverb"):
        changes[f"augment_{name}_paths"] = CONFIG[f"augment_{name}s_paths"]
    recipe = read_config(tmp_path, **changes, **HIDDEN_ARGUMENTS)
    assert recipe.config == read_config(tmp_path).config
    assert len(recipe.translations) == 41


def test_gradient_accumulation_until_the_scheduler_steps(tmp_path: Path) -> None:
    settings = {"scheduler_metrics_avg_every": 10, "accumalate_gradient_every_scheduler": True}
    recipe = read_config(tmp_path, **settings)
    schedule, trainer = recipe.config.schedule, recipe.config.trainer
    assert (trainer.gradient_accumulation_steps, trainer.validate_every, trainer.log_every) == (
        10,
        2,
        1,
    )
    assert (schedule.plateau_every, schedule.plateau_metric) == (1, "loss")
    with pytest.raises(ConfigError, match="scheduler_metrics to a training metric"):
        read_config(tmp_path, **settings, scheduler_metrics="val_eer")


def test_absent_keys_have_ddvcs_defaults_and_zero_turns_off(tmp_path: Path) -> None:
    recipe = read_config(
        tmp_path,
        use_data_augmentation=False,
        val_data_root=None,
        save_every=0,
        vis_train_art_every=0,
        device="best",
        data_parallel=[0, 1],
        force_restart="ABSENT",
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
    some = read_config(tmp_path, augment_musics_paths=[], augment_reverbs_paths=[]).config.augment
    assert (some.noise.probability, some.music.probability, some.rir.probability) == (0.6, 0, 0)


def test_model_name_of_published_weights(tmp_path: Path) -> None:
    recipe = read_config(tmp_path, model_name="campplus-zh-en")
    assert recipe.config.encoder == PUBLISHED["campplus-zh-en"].encoder
    assert recipe.run.options.init == "campplus-zh-en"
    untrained = read_config(tmp_path, model_name="campplus-zh-en-untrained")
    assert untrained.config.encoder == recipe.config.encoder
    assert untrained.run.options.init is None
    with pytest.raises(ConfigError, match="model_name: no encoder 'wavlm-bas'"):
        read_config(tmp_path, model_name="microsoft/wavlm-bas")


def test_comet_key_comes_from_file_or_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_config(tmp_path, comet_key="s3cret", comet_project="voices")
    assert (recipe.run.comet_key, recipe.run.options.project) == ("s3cret", "voices")
    assert recipe.run.options.trackers == ("comet",)
    assert "s3cret" not in repr(recipe)
    monkeypatch.setenv("COMET_API_KEY", "other")
    assert read_config(tmp_path).run.comet_key == "other"


def test_opts_override_the_file(tmp_path: Path) -> None:
    words = (
        "training.learning_rate_init",
        "1e-3",
        "schedule.steps",
        "7",
        "augment.noise.probability",
        "0.1",
    )
    recipe = read_config(tmp_path, *words)
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
        (
            {"accumalate_gradient_every_scheduler": True},
            "scheduler_metrics_avg_every to the number of batches",
        ),
        ({"num_epochs": "many"}, "num_epochs should be int, got 'many'"),
        ({"augment_noises_paths": "folder"}, "should be list, got 'folder'"),
        ({"force_restart": 3}, "should be bool"),
        ({"train_data_root": None}, "train_data_root is required"),
        ({"val_data_root": 0}, "val_data_root should be str, got 0"),
        ({"data_parallel": 2}, "data_parallel should be list, got 2"),
        ({"window_size_s": 0}, "crop_seconds must be in"),
        ({"learning_rate_init": 0.0}, "contains none; set a learning rate"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_config(tmp_path, **changes)


def test_learning_rate_zero_is_that_of_the_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tdnn" / "first").mkdir(parents=True)
    content = {"config": {"optimizer": {"learning_rate": 5e-4}}}
    (tmp_path / "tdnn" / "first" / "run.json").write_text(json.dumps(content))
    assert read_config(tmp_path, learning_rate_init=0.0).config.optimizer.learning_rate == 5e-4


def test_audio_becomes_stores_and_epochs_steps(voices: Path, tmp_path: Path) -> None:
    recipe = read_config(tmp_path, train_data_root=str(voices), val_data_root=str(voices))
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
    missing = replace(recipe.run, validation_audio=tmp_path / "missing")
    with pytest.raises(DataError, match="missing"):
        prepare_audio(missing, tmp_path / "other")
    assert not (tmp_path / "other.data").exists()


SHORT_RUN = {
    "speakers_per_batch": 4,
    "utterances_per_speaker": 2,
    "vis_train_art_every": 0,
    "vis_val_art_every": 0,
    "use_data_augmentation": False,
    "comet_key": None,
}


def test_run_from_the_file_alone(
    voices: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No --data, no --output; the second run renames the first."""
    audio = {"train_data_root": str(voices), "val_data_root": str(voices)}
    (tmp_path / "train_config.json").write_text(json.dumps({**CONFIG, **SHORT_RUN, **audio}))
    monkeypatch.chdir(tmp_path)
    small = ("encoder.channels", "8", "encoder.pooled_channels", "8")
    for _ in range(2):
        sources = train.Sources(opts=("schedule.steps", "2", *small))
        train.run(Path("train_config.json"), sources)
    printed = capsys.readouterr().out
    assert "vis_train_metrics_every" in printed
    assert "first.1" in printed.replace("\n", "")
    assert (tmp_path / "tdnn" / "first" / "checkpoints" / "step-2").is_dir()
    last = json.loads((tmp_path / "tdnn/first/metrics.jsonl").read_text().splitlines()[-1])
    assert "val_eer" in last


def test_run_from_published_weights(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run lies in a folder of the weights' name, which still means the weights."""
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(
        PUBLISHED, "ecapa", replace(PUBLISHED["ecapa"], sizes=asdict(SMALL["ecapa"]))
    )
    changes = {**SHORT_RUN, "model_name": "ecapa", "train_data_root": str(voices)}
    config = tmp_path / "train_config.json"
    config.write_text(json.dumps({**CONFIG, **changes, "val_data_root": None}))
    monkeypatch.chdir(tmp_path)
    sources = train.Sources(opts=("schedule.steps", "2"))
    with pytest.raises(CheckpointError, match="timbral download ecapa"):
        train.run(config, sources)
    assert not (tmp_path / "ecapa").exists()

    published = Checkpoint(
        weights_folder("ecapa"),
        0,
        TrainConfig(encoder=SMALL["ecapa"]),
        Preprocessing(),
        name="ecapa",
    )
    encoder = build_encoder(SMALL["ecapa"])
    save_checkpoint(published, {"encoder": encoder})
    for _ in range(2):
        train.run(config, sources)
        assert api.resolve("ecapa") == Checkpoint.read(published.folder)
    trained = load_network(api.resolve("ecapa/first")).fc.weight
    assert 0 < (trained - encoder.fc.weight).abs().max() < 1e-3  # two small steps from there
