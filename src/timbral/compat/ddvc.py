"""Translate ddvc's train_config.json: 36 keys, its README's spellings, and 5 hidden arguments."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.checkpoints.published import PUBLISHED
from timbral.compat.ddvc_keys import (
    ALLOWED_VALUES,
    AUGMENT_SECTIONS,
    COUNTED_IN_BATCHES,
    DEFAULTS,
    IGNORED_KEYS,
    OPTIONAL_TYPES,
    RENAMED_KEYS,
    SPELLINGS,
    ZERO_VALUES,
)
from timbral.compat.translation import RunSettings, TranslatedConfig, Translation, set_key
from timbral.config.schema import TrainConfig
from timbral.config.yaml import name_of, to_mapping
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, DataError, did_you_mean
from timbral.io.files import read_json
from timbral.training.train_options import TrainOptions

__all__ = ["recognizes", "translate"]

Settings = dict[str, Any]

PLACEHOLDER_KEY, PLACEHOLDER_PROJECT = "YOUR_COMET_KEY_HERE", "YOUR_COMET_PROJECT_NAME_HERE"
ACCUMULATION = "trainer.gradient_accumulation_steps"


def recognizes(content: Mapping[str, Any]) -> bool:
    """Whether the content of a file is a config of ddvc."""
    return "model_name" in content or "train_data_root" in content


def translate(content: Mapping[str, Any], source: str) -> TranslatedConfig:
    """Translate the content of the file `source`.

    Raises ConfigError for a key that ddvc does not have, and for a value that timbral does not
    support.
    """
    given = {SPELLINGS.get(key, key): value for key, value in content.items()}
    _check(given, source)
    for key, value in given.items():
        if isinstance(value, str) and type(DEFAULTS.get(key)) in (int, float):
            given[key] = float(value)  # YAML reads 1e-6 as a string
    values = {**DEFAULTS, **given}
    settings, init = _settings(values, source)
    run = _run_settings(values, init)
    nested: Settings = {}
    for key, value in settings.items():
        set_key(nested, key, value)
    descriptions = _descriptions(settings, run)
    translations = tuple(
        Translation(key, _shown(key, value), descriptions[SPELLINGS.get(key, key)])
        for key, value in content.items()
    )
    return TranslatedConfig(nested, run, translations)


def _check(given: Settings, source: str) -> None:
    known = DEFAULTS.keys() | IGNORED_KEYS.keys() | {"model_name", "train_data_root"}
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{source}: unknown key {key!r}{did_you_mean(key, known)}")
        if key in ALLOWED_VALUES and value not in ALLOWED_VALUES[key]:
            raise ConfigError(f"{source}: {key} is {value!r}; supported: {IGNORED_KEYS[key]}")
        if not _fits(key, value):
            expected = OPTIONAL_TYPES.get(key, type(DEFAULTS.get(key))).__name__
            raise ConfigError(f"{source}: {key} should be {expected}, got {value!r}")
    for key in ("model_name", "train_data_root"):
        if not isinstance(given.get(key), str):
            raise ConfigError(f"{source}: {key} is required, a string; got {given.get(key)!r}")


def _fits(key: str, value: Any) -> bool:
    """Whether a value has the type of the key's default."""
    if key not in DEFAULTS:
        return True
    if key in OPTIONAL_TYPES and value is None:
        return True
    expected = OPTIONAL_TYPES.get(key, type(DEFAULTS[key]))
    if expected in (int, float):
        try:
            return not isinstance(value, bool) and math.isfinite(float(value))
        except (TypeError, ValueError, OverflowError):
            return False
    return isinstance(value, expected)


def _settings(values: Settings, source: str) -> tuple[Settings, str | None]:
    """The settings by TrainConfig's dotted keys, and the name of the initial weights."""
    encoder, init = _encoder(values["model_name"], source)
    settings: Settings = {"encoder": encoder, "loss": {"name": "ge2e"}, "schedule.decay": "plateau"}
    settings |= {renamed: values[key] for key, renamed in RENAMED_KEYS.items()}
    settings |= {key: settings[key] or never for key, never in ZERO_VALUES.items()}
    settings["tracking.audio_every"] = settings["tracking.plot_every"]
    settings["schedule.plateau_metric"] = _metric(values["scheduler_metrics"])
    if values["scheduler_metrics_avg_every"] is None:
        # ddvc's scheduler then never steps; timbral's does, with its default
        del settings["schedule.plateau_every"]
    if values["accumalate_gradient_every_scheduler"]:
        settings |= _accumulated(settings, source)
    if values["train_only_head"] and encoder["name"] == "wavlm":  # ddvc's ECAPA ignores it
        settings["optimizer.freeze"] = ["cnn", "transformer"]
    if values["enlarge_head"]:
        settings["encoder"] = {**encoder, "embedding_dim": 1024}
    if values["learning_rate_init"] == 0:
        settings["optimizer.learning_rate"] = _learning_rate_of_run(_output(values), source)
    if values["use_data_augmentation"]:
        settings["augment"] = _augment(values)
    return settings, init


def _accumulated(settings: Settings, source: str) -> Settings:
    """The settings for gradients that accumulate until ddvc's scheduler steps."""
    batches = settings.get("schedule.plateau_every")
    if not batches or settings["schedule.plateau_metric"].startswith("val"):
        raise ConfigError(
            f"{source}: with accumalate_gradient_every_scheduler, the optimizer steps when the "
            "scheduler does. Set scheduler_metrics_avg_every to the number of batches, and "
            "scheduler_metrics to a training metric"
        )
    in_batches = {key: settings[key] for key in COUNTED_IN_BATCHES if settings.get(key)}
    in_steps = {key: max(1, int(count) // int(batches)) for key, count in in_batches.items()}
    return {**in_steps, ACCUMULATION: int(batches)}


def _encoder(name: str, source: str) -> tuple[Settings, str | None]:
    """The encoder's section, and the name of the initial weights."""
    short = name.removeprefix("microsoft/")
    if short in PUBLISHED:
        encoder = PUBLISHED[short].encoder
        settings = to_mapping(TrainConfig(encoder=encoder))["encoder"]
        return {"name": name_of(ENCODERS, encoder), **settings}, short
    untrained = short.removesuffix("-untrained")
    if untrained in PUBLISHED:
        return _encoder(untrained, source)[0], None
    if untrained in ENCODERS:
        return {"name": untrained}, None
    known = {*PUBLISHED, *ENCODERS}
    raise ConfigError(f"{source}: model_name: no encoder {short!r}{did_you_mean(short, known)}")


def _metric(name: str) -> str:
    """The metric for a name of ddvc, which is recognized by its parts, as in ddvc."""
    if "val" in name:
        return "val_eer" if "eer" in name.lower() else "val_loss"
    return "batch_eer" if "eer" in name.lower() else "loss"


def _learning_rate_of_run(output: Path, source: str) -> float:
    """The learning rate of the run to resume, which ddvc's learning rate 0.0 stands for."""
    try:
        run = read_json(output / "run.json")
        return float(run["config"]["optimizer"]["learning_rate"])
    except (DataError, KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{source}: learning_rate_init 0 takes the learning rate of an earlier run, but "
            f"{output} contains none; set a learning rate"
        ) from None


def _augment(values: Settings) -> Settings:
    """The preset of ddvc's augmentation with the given folders; sections without one are off."""
    augment: Settings = {"name": "ddvc"}
    for name, section in AUGMENT_SECTIONS.items():
        paths = values[f"augment_{name}_paths"]
        augment[section] = {"paths": paths} if paths else {"probability": 0.0}
    return augment


def _output(values: Settings) -> Path:
    return Path(str(values["model_name"]).removeprefix("microsoft/")) / str(values["run_id"])


def _run_settings(values: Settings, init: str | None) -> RunSettings:
    validation = values["val_data_root"]
    key = values["comet_key"] or ""
    key = "" if key == PLACEHOLDER_KEY else key
    key = key or os.environ.get("COMET_API_KEY", "")
    project = values["comet_project"] or ""
    devices = values["data_parallel"] or []
    named = str(values["device"])
    device = {"best": "auto", "gpu": "cuda"}.get(named, named)
    return RunSettings(
        output=_output(values),
        training_audio=Path(values["train_data_root"]),
        validation_audio=None if validation is None else Path(validation),
        sessions=bool(values["multi_rec_session"]),
        epochs=values["num_epochs"],
        comet_key=key,
        options=TrainOptions(
            device=device,
            workers=max(1, len(devices)) if device != "cpu" else 1,
            init=init,
            force_restart=bool(values["force_restart"]),
            trackers=("comet",) if key else (),
            project="timbral" if project in ("", PLACEHOLDER_PROJECT) else project,
        ),
    )


def _shown(key: str, value: Any) -> str:
    """A value as text, except for the secret key."""
    return "(kept secret)" if key == "comet_key" and value else json.dumps(value)


def _descriptions(settings: Settings, run: RunSettings) -> dict[str, str]:
    """The translation of each key of ddvc, as text."""
    words = dict(IGNORED_KEYS)
    for key, renamed in RENAMED_KEYS.items():
        is_set = renamed in settings
        words[key] = f"{renamed} = {json.dumps(settings[renamed])}" if is_set else "its default"
    augment = settings.get("augment", {})
    for name, section in AUGMENT_SECTIONS.items():
        is_on = "paths" in augment.get(section, {})
        words[f"augment_{name}_paths"] = f"augment.{section}.paths" if is_on else f"no {section}"
    metric = settings.get("schedule.plateau_metric")
    comet = "tracker comet" if run.comet_key else "no key: metrics.jsonl only"
    options = run.options
    where = f"{options.workers} processes" if options.workers > 1 else "one process"
    start = f", from its published weights {options.init}" if options.init else ", from scratch"
    return words | {
        "model_name": f"encoder.name = {settings['encoder']['name']}{start}",
        "run_id": f"--output {run.output}",
        "train_data_root": f"prepared once, next to the run: {run.training_audio}",
        "val_data_root": f"validation: {run.validation_audio or 'none'}",
        "multi_rec_session": "SPEAKER/SESSION/FILE" if run.sessions else "SPEAKER/FILE",
        "num_epochs": f"schedule.steps: as many as see every recording {run.epochs} times",
        "comet_key": comet,
        "comet_project": f"project {options.project} of the trackers",
        "force_restart": "an earlier run is renamed" if options.force_restart else "resumes",
        "device": f"--device {options.device}",
        "data_parallel": f"--workers: {where}",
        "use_data_augmentation": "augment: preset ddvc" if augment else "augment: none",
        "train_only_head": f"optimizer.freeze = {settings.get('optimizer.freeze', [])}",
        "enlarge_head": f"encoder.embedding_dim = {settings['encoder'].get('embedding_dim')}",
        "scheduler_metrics": f"schedule.plateau_metric = {metric}",
        "accumalate_gradient_every_scheduler": (
            f"{ACCUMULATION} = {settings.get(ACCUMULATION, 1)}"
        ),
    }
