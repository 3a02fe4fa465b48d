"""ddvc's train_config.json: its 36 keys, its README's spellings, and 5 hidden arguments."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.checkpoints.published import PUBLISHED
from timbral.compat.ddvc_keys import (
    DEFAULTS,
    IN_BATCHES,
    NEVER,
    PATHS,
    REQUIRED,
    SAME,
    SPELLINGS,
    UNCHANGED,
)
from timbral.compat.translation import Meaning, RunSettings, Translated, put
from timbral.config.schema import TrainConfig
from timbral.config.yaml import name_of, to_mapping
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, DataError, did_you_mean
from timbral.io.files import read_json
from timbral.training.options import TrainOptions

__all__ = ["recognize", "translate"]

Settings = dict[str, Any]

PLACEHOLDER, PLACEHOLDER_PROJECT = "YOUR_COMET_KEY_HERE", "YOUR_COMET_PROJECT_NAME_HERE"


ACCUMULATION = "trainer.gradient_accumulation_steps"


def recognize(content: Mapping[str, Any]) -> bool:
    """Whether a file is A's."""
    return "model_name" in content or "train_data_root" in content


def translate(content: Mapping[str, Any], where: str) -> Translated:
    """What A's file says; ConfigError for a key it does not know or a value it cannot keep to."""
    given = {SPELLINGS.get(key, key): value for key, value in content.items()}
    _check(given, where)
    for key, value in given.items():
        if isinstance(value, str) and type(DEFAULTS.get(key)) in (int, float):
            given[key] = float(value)  # YAML reads 1e-6 as a string
    values = {**DEFAULTS, **given}
    settings, init = _settings(values, where)
    run = _run(values, init)
    kept = {key: value for key, value in settings.items() if _exists(key)}
    nested: Settings = {}
    for key, value in kept.items():
        put(nested, key, value)
    became = _became(values, kept, run)
    meanings = tuple(
        Meaning(key, _shown(key, value), became[SPELLINGS.get(key, key)])
        for key, value in content.items()
    )
    return Translated(nested, run, meanings)


def _check(given: Settings, where: str) -> None:
    known = DEFAULTS.keys() | UNCHANGED.keys() | {"model_name", "train_data_root"}
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")
        if key in REQUIRED and value not in REQUIRED[key]:
            raise ConfigError(f"{where}: {key} is {value!r}; supported: {UNCHANGED[key]}")
        if not _fits(key, value):
            kind = type(DEFAULTS[key]).__name__
            raise ConfigError(f"{where}: {key} should be {kind}, got {value!r}")
    for key in ("model_name", "train_data_root"):
        if not isinstance(given.get(key), str):
            raise ConfigError(f"{where}: {key} is needed, a word; got {given.get(key)!r}")


def _fits(key: str, value: Any) -> bool:
    """Whether a value is of the kind of the key's default."""
    default = DEFAULTS.get(key)
    if default is None or isinstance(default, list | str | bool):
        return default is None or isinstance(value, type(default))
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _settings(values: Settings, where: str) -> tuple[Settings, str | None]:
    """TrainConfig's dotted keys, and the weights to begin with."""
    encoder, init = _encoder(values["model_name"], where)
    settings: Settings = {"encoder": encoder, "loss": {"name": "ge2e"}}
    if _exists("schedule.plateau_factor"):
        settings["schedule.decay"] = "plateau"
    settings |= {ours: values[key] for key, ours in SAME.items()}
    settings |= {key: settings[key] or never for key, never in NEVER.items()}
    settings["tracking.audio_every"] = settings["tracking.plot_every"]
    settings["schedule.plateau_metric"] = _metric(values["scheduler_metrics"])
    if values["scheduler_metrics_avg_every"] is None:  # A's scheduler then never steps; ours does
        del settings["schedule.plateau_every"]
    if values["accumalate_gradient_every_scheduler"]:
        settings |= _accumulated(settings, where)
    if values["train_only_head"] and encoder["name"] == "wavlm":  # A's ECAPA ignores it
        settings["optimizer.freeze"] = ["cnn", "transformer"]
    if values["enlarge_head"]:
        settings["encoder"] = {**encoder, "embedding_size": 1024}
    if values["learning_rate_init"] == 0:
        settings["optimizer.learning_rate"] = _earlier_rate(values, where)
    if values["use_data_augmentation"]:
        settings["augment"] = _augment(values)
    return settings, init


def _accumulated(settings: Settings, where: str) -> Settings:
    """A's optimizer steps only when its scheduler does; gradients add up until then."""
    batches = settings.get("schedule.plateau_every")
    if not batches or settings["schedule.plateau_metric"].startswith("val"):
        raise ConfigError(
            f"{where}: accumalate_gradient_every_scheduler takes a step of the optimizer whenever "
            "the scheduler takes one: scheduler_metrics_avg_every must say after how many "
            "batches, and scheduler_metrics name a metric of training"
        )
    counted = {key: settings[key] for key in IN_BATCHES if settings.get(key)}
    fewer = {key: max(1, int(count) // int(batches)) for key, count in counted.items()}
    return {**fewer, ACCUMULATION: int(batches)}


def _encoder(name: str, where: str) -> tuple[Settings, str | None]:
    """The encoder's section, and the name of the weights to begin with."""
    short = name.removeprefix("microsoft/")
    if short in PUBLISHED:
        encoder = PUBLISHED[short].encoder
        settings = to_mapping(TrainConfig(encoder=encoder))["encoder"]
        return {"name": name_of(ENCODERS, encoder), **settings}, short
    untrained = short.removesuffix("-untrained")
    if untrained in PUBLISHED:
        return _encoder(untrained, where)[0], None
    if untrained in ENCODERS:
        return {"name": untrained}, None
    known = {*PUBLISHED, *ENCODERS}
    raise ConfigError(f"{where}: model_name: no encoder {short!r}{did_you_mean(short, known)}")


def _metric(words: str) -> str:
    """A's rule: by the words that it holds."""
    if "val" in words:
        return "val_eer" if "eer" in words.lower() else "val_loss"
    return "batch_eer" if "eer" in words.lower() else "loss"


def _earlier_rate(values: Settings, where: str) -> float:
    """A's 0.0: go on at the rate of the run that is there."""
    try:
        run = read_json(_output(values) / "run.json")
    except DataError:
        raise ConfigError(
            f"{where}: learning_rate_init 0 takes the rate of an earlier run, but "
            f"{_output(values)} holds none; give a rate"
        ) from None
    return float(run["config"]["optimizer"]["learning_rate"])


def _augment(values: Settings) -> Settings:
    """The preset of A's chain, with A's folders; without folders a kind is off."""
    section: Settings = {"name": "ddvc"}
    for theirs, ours in PATHS.items():
        paths = values[f"augment_{theirs}_paths"]
        section[ours] = {"paths": paths} if paths else {"probability": 0.0}
    return section


def _output(values: Settings) -> Path:
    return Path(str(values["model_name"]).removeprefix("microsoft/")) / str(values["run_id"])


def _run(values: Settings, init: str | None) -> RunSettings:
    validation = values["val_data_root"]
    key = values["comet_key"] or ""
    key = "" if key == PLACEHOLDER else key
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


def _exists(key: str) -> bool:
    """Whether TrainConfig has a dotted key; a component is taken as it is."""
    section, _, name = key.partition(".")
    hints = {item.name: item for item in dataclasses.fields(TrainConfig)}
    if section not in hints or not name:
        return section in hints
    default = getattr(TrainConfig(), section)
    return name in {item.name for item in dataclasses.fields(default)}


def _shown(key: str, value: Any) -> str:
    return "(kept secret)" if key == "comet_key" and value else json.dumps(value)


def _became(values: Settings, settings: Settings, run: RunSettings) -> dict[str, str]:
    """What each key became, in words."""
    words = dict(UNCHANGED)
    for key, ours in SAME.items():
        known = ours in settings
        words[key] = f"{ours} = {json.dumps(settings[ours])}" if known else f"{ours}: its default"
    augment = settings.get("augment", {})
    for theirs, ours in PATHS.items():
        on = "paths" in augment.get(ours, {})
        words[f"augment_{theirs}_paths"] = f"augment.{ours}.paths" if on else f"no {ours}"
    metric = settings.get("schedule.plateau_metric")
    comet = "tracker comet" if run.comet_key else "no key: metrics.jsonl only"
    options = run.options
    where = f"{options.workers} processes" if options.workers > 1 else "one process"
    start = f", from its published weights {options.init}" if options.init else ", from scratch"
    return words | {
        "model_name": f"encoder.name = {settings['encoder']['name']}{start}",
        "run_id": f"--output {run.output}",
        "train_data_root": f"prepared once, beside the run: {run.training_audio}",
        "val_data_root": f"validation: {run.validation_audio or 'none'}",
        "multi_rec_session": "SPEAKER/SESSION/FILE" if run.sessions else "SPEAKER/FILE",
        "num_epochs": f"schedule.steps: {run.epochs} times the recordings there are",
        "comet_key": comet,
        "comet_project": f"project {options.project} of the trackers",
        "force_restart": "an earlier run is renamed" if options.force_restart else "resumes",
        "device": f"--device {options.device}",
        "data_parallel": f"--workers: {where}",
        "use_data_augmentation": "augment: preset ddvc" if augment else "augment: none",
        "train_only_head": f"optimizer.freeze = {settings.get('optimizer.freeze', [])}",
        "enlarge_head": f"encoder.embedding_size = {settings['encoder'].get('embedding_size')}",
        "scheduler_metrics": f"schedule.plateau_metric = {metric}",
        "accumalate_gradient_every_scheduler": (
            f"{ACCUMULATION} = {settings.get(ACCUMULATION, 1)}"
        ),
    }
