"""TrainConfig: everything a training run is made of; YAML holds values only."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from timbral.data.augment_config import PRESETS, AugmentConfig
from timbral.data.dataset import DataConfig
from timbral.encoders import ENCODERS, LstmConfig
from timbral.errors import ConfigError, check_choice, check_ranges, did_you_mean
from timbral.losses import LOSSES, GE2EConfig

__all__ = [
    "PLATEAU_METRICS",
    "OptimConfig",
    "ScheduleConfig",
    "TrackingConfig",
    "TrainConfig",
    "from_mapping",
    "load_config",
    "name_of",
    "override",
    "read_mapping",
    "to_mapping",
]

T = TypeVar("T")


@dataclass(frozen=True)
class ScheduleConfig:
    """How long a run goes, how it learns, and when it looks up."""

    steps: int = 100_000
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    """the learning rate rises to its value over this many steps"""
    decay: str = "constant"
    """constant | cosine (to zero at the last step) | plateau (see the section optim)"""
    max_minutes: float | None = None
    """stop, with a checkpoint, after this much training; validation is not counted"""
    max_grad_norm: float = 3.0
    weight_decay: float = 0.0
    precision: str = "fp32"
    """fp32 | bf16 | auto (bf16 where the processor computes in it, else fp32)"""
    chunk: int | None = None
    """utterances that pass the encoder at once; gradients are those of the whole batch anyway"""
    compile: bool = False
    """torch.compile the encoder: faster steps after a slow first one; needs a C++ compiler"""
    seed: int = 0
    log_every: int = 10
    validate_every: int = 1000
    save_every: int = 1000
    keep_checkpoints: int = 3
    """older checkpoints than these go, except the best one"""

    def __post_init__(self) -> None:
        check_choice("schedule.decay", self.decay, ("constant", "cosine", "plateau"))
        check_choice("schedule.precision", self.precision, ("fp32", "bf16", "auto"))
        counts = ("steps", "log_every", "validate_every", "save_every", "keep_checkpoints")
        check_ranges(self, "schedule", **dict.fromkeys(counts, (1, math.inf)))
        check_ranges(
            self,
            "schedule",
            learning_rate=(1e-12, 1e30),
            warmup_steps=(0, math.inf),
            chunk=(1, math.inf),
            max_minutes=(1e-9, 1e9),
            max_grad_norm=(1e-9, 1e30),
            weight_decay=(0.0, 1e9),
            seed=(0, 2**63),
        )


PLATEAU_METRICS = ("loss", "batch_eer", "val_loss", "val_eer")


@dataclass(frozen=True)
class OptimConfig:
    """Which parameters learn, at which share of the learning rate, and what a plateau does."""

    head_rate: float = 1.0
    """of the encoder's part `head`"""
    loss_rate: float = 1.0
    """of what the loss learns itself: w and b, class weights"""
    layer_decay: float = 1.0
    """each layer before the head learns at this share of the rate of the one after it"""
    freeze: tuple[str, ...] = ()
    """parts of the encoder that stay as they are: body, head"""
    frozen_batch_norm: bool = False
    """batch norm uses, and keeps, the statistics that the encoder came with"""
    ema: float = 0.0
    """decay of the moving average of the weights, such as 0.999, which is then judged and saved
    as the encoder; 0: no average"""
    plateau_metric: str = "val_eer"
    """what has to fall: loss | batch_eer (of training batches) | val_loss | val_eer"""
    plateau_every: int = 100
    """steps over which loss and batch_eer are averaged; val_* count at each validation"""
    plateau_patience: int = 3
    """rounds without a fall that are borne"""
    plateau_factor: float = 0.6
    """the learning rate is multiplied by this after one round more"""

    def __post_init__(self) -> None:
        check_choice("optim.plateau_metric", self.plateau_metric, PLATEAU_METRICS)
        rates = ("head_rate", "loss_rate")
        check_ranges(self, "optim", **dict.fromkeys(rates, (0.0, 1e6)))
        check_ranges(
            self,
            "optim",
            layer_decay=(1e-6, 1.0),
            ema=(0.0, 1.0 - 1e-9),
            plateau_every=(1, math.inf),
            plateau_patience=(0, math.inf),
            plateau_factor=(1e-6, 1.0),
        )


@dataclass(frozen=True)
class TrackingConfig:
    """What trackers get besides numbers. It changes nothing of a run, so it may change."""

    pictures_every: int | None = None
    """steps between two pictures of a training batch on the plane (UMAP)"""
    validation_pictures_every: int | None = None
    """steps between two pictures of the validation's utterances, each drawn at a validation"""
    clips_every: int | None = None
    """steps between two batches whose audio is kept, to be listened to"""
    annotate: bool = False
    """write the name of its recording beside each point"""

    def __post_init__(self) -> None:
        every = ("pictures_every", "validation_pictures_every", "clips_every")
        check_ranges(self, "tracking", **dict.fromkeys(every, (1, math.inf)))

    @property
    def draws(self) -> bool:
        """Whether any picture is asked for."""
        return self.pictures_every is not None or self.validation_pictures_every is not None


@dataclass(frozen=True)
class TrainConfig:
    """One training run. `encoder` and `loss` are configs of a class in ENCODERS and LOSSES."""

    encoder: Any = field(default_factory=LstmConfig)
    loss: Any = field(default_factory=GE2EConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


REGISTRIES: dict[str, Mapping[str, Any]] = {"encoder": ENCODERS, "loss": LOSSES}
"""Sections that name a class; the other keys are that class's config."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file; `overrides` are pairs KEY VALUE such as ``schedule.steps 100``."""
    content = read_mapping(path)
    override(content, overrides)
    return from_mapping(TrainConfig, content, str(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file of YAML, or of JSON, which is YAML."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: should hold the sections {_names(TrainConfig)}")
    return content


def override(content: dict[str, Any], words: Sequence[str]) -> None:
    """Set the values of pairs KEY VALUE in a mapping that is read but not yet checked."""
    if len(words) % 2:
        raise ConfigError(f"--opts takes pairs KEY VALUE; got {len(words)} words")
    for key, value in zip(words[::2], words[1::2], strict=True):
        try:
            _override(content, key, yaml.safe_load(value))
        except yaml.YAMLError:
            raise ConfigError(f"--opts {key}: {value!r} is not a YAML value") from None


def _override(content: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        child = content.setdefault(section, {})
        if isinstance(child, str):  # `encoder: lstm` is short for `encoder: {name: lstm}`
            child = content[section] = {"name": child}
        if not isinstance(child, dict):
            raise ConfigError(f"--opts {key}: {section} is not a section")
        content = child
    content[last] = value


def from_mapping(cls: type[T], content: Any, where: str) -> T:
    """Build a config dataclass from a mapping; unknown keys and wrong types are ConfigErrors."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: a mapping is needed, got {content!r}")
    hints = typing.get_type_hints(cls)
    names = _names(cls)
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in names:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(str(key), names)}")
        inner = f"{where}: {key}"
        if cls is TrainConfig and key in REGISTRIES:
            values[key] = _component(REGISTRIES[key], value, inner)
        elif cls is TrainConfig and key == "augment":
            values[key] = from_mapping(AugmentConfig, _from_preset(value, inner), inner)
        elif dataclasses.is_dataclass(hints[key]):
            values[key] = from_mapping(typing.cast(type, hints[key]), value, inner)
        else:
            values[key] = _scalar(hints[key], value, inner)
    return cls(**values)


def to_mapping(config: TrainConfig) -> dict[str, Any]:
    """The resolved config as plain JSON values; `from_mapping` reads it back."""
    content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    for section, registry in REGISTRIES.items():
        content[section] = _named(registry, getattr(config, section))
    return content


def _named(registry: Mapping[str, Any], config: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    if "terms" in values:  # of a sum of losses
        values["terms"] = [_named(registry, term) for term in config.terms]
    return {"name": name_of(registry, config), **values}


def name_of(registry: Mapping[str, Any], config: Any) -> str:
    """The name, in ENCODERS or LOSSES, of the class that takes this config."""
    return next(name for name, cls in registry.items() if cls.config_type is type(config))


def _component(registry: Mapping[str, Any], value: Any, where: str) -> Any:
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: a name, or a mapping with a name, is needed, got {value!r}")
    settings = dict(settings)
    name = settings.pop("name", None)
    if name not in registry:
        raise ConfigError(f"{where}: unknown name {name!r}{did_you_mean(str(name), registry)}")
    where = f"{where} ({name})"
    if isinstance(terms := settings.get("terms"), list):  # of a sum of losses
        settings["terms"] = tuple(_component(registry, term, where) for term in terms)
    return from_mapping(registry[name].config_type, settings, where)


def _from_preset(value: Any, where: str) -> Any:
    """`light`, or `{name: light, noise: {…}}`: the preset's values where there are no others."""
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, Mapping):
        return settings
    name = settings.get("name", "none")
    if name not in PRESETS:
        raise ConfigError(f"{where}: unknown preset {name!r}{did_you_mean(str(name), PRESETS)}")
    merged: dict[str, Any] = {key: item for key, item in settings.items() if key != "name"}
    for key, preset in PRESETS[name].items():
        own = merged.get(key, {})
        merged[key] = {**preset, **own} if isinstance(own, Mapping) else own
    return merged


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint == tuple[Any, ...] and isinstance(value, tuple):
        return value
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_scalar(typing.get_args(hint)[0], item, where) for item in value)
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        kind = typing.get_args(hint)[1]
        return {str(key): _scalar(kind, item, f"{where}: {key}") for key, item in value.items()}
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-4 as a string
        except ValueError:
            pass
    if type(value) not in allowed:
        kinds = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
        raise ConfigError(f"{where}: should be {kinds}, got {value!r}")
    return value


def _names(cls: type) -> list[str]:
    return [item.name for item in dataclasses.fields(cls)]
