"""Configs as YAML and mappings: read, overridden, checked, written."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from timbral.config.schema import TrainConfig
from timbral.data.augment.config import PRESETS, AugmentConfig
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, did_you_mean
from timbral.losses.registry import LOSSES

__all__ = [
    "from_mapping",
    "load_config",
    "name_of",
    "override",
    "read_mapping",
    "to_mapping",
]

T = TypeVar("T")

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
