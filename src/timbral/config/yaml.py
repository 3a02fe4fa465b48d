"""Read configs from YAML and mappings, override and check their values, and convert them back."""

from __future__ import annotations

import copy
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from timbral.config.dataclass_fields import Special, dataclass_of, field_names
from timbral.config.parsing import read_document
from timbral.config.schema import TrainConfig
from timbral.data.augment.augment_config import PRESETS, AugmentConfig
from timbral.encoders.base import EncoderConfig
from timbral.encoders.registry import ENCODER_SIZES, ENCODERS
from timbral.errors import ConfigError, did_you_mean
from timbral.losses.base import LossConfig
from timbral.losses.registry import LOSSES
from timbral.losses.unknown import UnknownLossConfig

__all__ = [
    "flatten",
    "from_mapping",
    "load_config",
    "name_of",
    "read_mapping",
    "to_mapping",
    "with_overrides",
]

T = TypeVar("T")

REGISTRIES: dict[Any, Mapping[str, Any]] = {EncoderConfig: ENCODERS, LossConfig: LOSSES}
"""types whose values name a class; the other keys of such a value are the class's config"""
PLAIN_SECTIONS = ("data", "optimizer", "schedule", "trainer", "tracking")
"""sections of a config whose keys are always the same"""


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file; `overrides` are pairs KEY VALUE such as ``schedule.steps 100``.

    Raises ConfigError for a file that cannot be read, unknown keys, wrong types and values out of
    range.
    """
    return with_overrides(read_mapping(path), overrides, str(path), "overrides")


def with_overrides(
    content: Mapping[str, Any], words: Sequence[str], source: str, argument: str
) -> TrainConfig:
    """The config from a file's content, with the pairs KEY VALUE of an argument.

    The ConfigError for a wrong value names `source`, or `argument` if the content alone is right.
    """
    changed = copy.deepcopy(dict(content))
    _override_all(changed, words, f"`{argument}`")
    try:
        return from_mapping(TrainConfig, changed, source)
    except ConfigError:
        if not words:
            raise
    from_mapping(TrainConfig, content, source)
    return from_mapping(TrainConfig, changed, f"`{argument}`")


def read_mapping(path: Path) -> dict[str, Any]:
    """The sections in a YAML or JSON file; ConfigError if it has none, or one of them twice."""
    content = read_document(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: should contain the sections {field_names(TrainConfig)}")
    return content


def _override_all(content: dict[str, Any], words: Sequence[str], argument: str) -> None:
    """Set the values of pairs KEY VALUE in a mapping that has not been checked yet."""
    import yaml  # not needed to read a checkpoint

    if len(words) % 2:
        raise ConfigError(f"{argument} takes pairs KEY VALUE; got {len(words)} words")
    for key, value in zip(words[::2], words[1::2], strict=True):
        try:
            _override(content, key, yaml.safe_load(value), argument)
        except (yaml.YAMLError, ValueError):
            raise ConfigError(f"{argument}: {key}: {value!r} is not a YAML value") from None


def _override(content: dict[str, Any], key: str, value: Any, argument: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        child = content.setdefault(section, {})
        if isinstance(child, str):  # `encoder: lstm` is short for `encoder: {name: lstm}`
            child = content[section] = {"name": child}
        if not isinstance(child, dict):
            raise ConfigError(
                f"{argument}: {key}: {section} is a value, not a section of the config"
            )
        content = child
    content[last] = value


def from_mapping(cls: type[T], content: Any, where: str) -> T:
    """Build a config dataclass from a mapping; `where` is the mapping's place, for errors.

    Raises ConfigError for unknown keys, wrong types and values out of range.
    """
    if cls is TrainConfig and isinstance(content, Mapping):
        _check_sections(content, where)
    return dataclass_of(cls, content, where, SPECIAL)


def _check_sections(content: Mapping[Any, Any], where: str) -> None:
    """Raise ConfigError, which names the right section, for a key of a section elsewhere."""
    hints = typing.get_type_hints(TrainConfig)
    keys_of = {name: field_names(hints[name]) for name in PLAIN_SECTIONS}
    mappings = {"": content} | {name: content.get(name) for name in keys_of}
    for section, values in mappings.items():
        known = keys_of.get(section, field_names(TrainConfig))
        for key in values if isinstance(values, Mapping) else ():
            others = [name for name, keys in keys_of.items() if key in keys]
            if others and key not in known:
                prefix = f"{where}: {section}" if section else where
                raise ConfigError(f"{prefix}: unknown key {key!r}; did you mean {others[0]}.{key}?")


def to_mapping(config: TrainConfig) -> dict[str, Any]:
    """The config with all its values, as JSON types; `from_mapping` reads it back."""
    return _plain_fields(config)


def _plain_fields(config: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(type(config))
    return {name: _plain(hints[name], getattr(config, name)) for name in field_names(type(config))}


def _plain(hint: Any, value: Any) -> Any:
    if isinstance(value, UnknownLossConfig):
        return dict(value.settings)
    if hint in REGISTRIES:
        return {"name": name_of(REGISTRIES[hint], value), **_plain_fields(value)}
    if dataclasses.is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, tuple):
        return [_plain(typing.get_args(hint)[0], item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def flatten(content: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, and lists of them, as one mapping with keys like ``trainer.seed``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        inner = value
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            inner = {str(index): item for index, item in enumerate(value)}
        if isinstance(inner, Mapping):
            flat |= {f"{key}.{below}": item for below, item in flatten(inner).items()}
        else:
            flat[key] = value
    return flat


def name_of(registry: Mapping[str, Any], config: Any) -> str:
    """The name of the class in `registry` that takes this config."""
    return next(name for name, cls in registry.items() if cls.config_type is type(config))


def _component(registry: Mapping[str, Any], value: Any, where: str) -> Any:
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: a name, or a mapping with a name, is needed, got {value!r}")
    settings = dict(settings)
    name = settings.pop("name", None)
    sizes = ENCODER_SIZES if registry is ENCODERS else {}
    if isinstance(name, str) and name in sizes:
        published = sizes[name]
        return from_mapping(
            type(published), {**dataclasses.asdict(published), **settings}, f"{where} ({name})"
        )
    if not isinstance(name, str) or name not in registry:
        known = [*registry, *sizes]
        raise ConfigError(f"{where}: unknown name {name!r}{did_you_mean(str(name), known)}")
    return from_mapping(registry[name].config_type, settings, f"{where} ({name})")


def _from_preset(value: Any, where: str) -> Any:
    """The values of a preset: `light`, or `{name: light, noise: {…}}` with values that override."""
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, Mapping):
        return settings
    name = settings.get("name", "none")
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"{where}: unknown preset {name!r}{did_you_mean(str(name), PRESETS)}")
    merged: dict[str, Any] = {key: item for key, item in settings.items() if key != "name"}
    for key, preset in PRESETS[name].items():
        given = merged.get(key, {})
        merged[key] = {**preset, **given} if isinstance(given, Mapping) else given
    return merged


def _augment(value: Any, where: str) -> AugmentConfig:
    return dataclass_of(AugmentConfig, _from_preset(value, where), where, SPECIAL)


SPECIAL: dict[Any, Special] = {
    **{hint: partial(_component, registry) for hint, registry in REGISTRIES.items()},
    AugmentConfig: _augment,
}
"""functions that convert the values of fields of these types"""
