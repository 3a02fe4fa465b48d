"""Dataclasses from mappings such as JSON objects; unknown keys and wrong types are errors."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

from timbral.errors import ConfigError, did_you_mean

__all__ = ["Special", "dataclass_of", "field_names"]

T = TypeVar("T")
Special: TypeAlias = Callable[[Any, str], Any]
"""converts a given value to a field's, with its place in the file for errors"""


def dataclass_of(
    cls: type[T],
    content: Any,
    where: str,
    special: Mapping[Any, Special] = types.MappingProxyType({}),
) -> T:
    """Build a dataclass from a mapping, and the dataclasses within it.

    Args:
        cls: the dataclass
        content: the mapping, from field names to values
        where: its place, such as a path, with which error messages begin
        special: the function that converts the values of fields of a type, by type

    Raises ConfigError for unknown keys and wrong types; TypeError if a field without a default is
    missing.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: a mapping is needed, got {content!r}")
    hints, names = _type_hints(typing.cast(Any, cls)), field_names(cls)
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in names:
            raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(str(key), names)}")
        values[key] = _value(hints[key], value, f"{where}: {key}", special)
    return cls(**values)


@lru_cache(maxsize=256)  # a calibration has hundreds of points of one class
def _type_hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def field_names(cls: type) -> list[str]:
    """The names of a dataclass's fields, in order."""
    return [item.name for item in dataclasses.fields(cls)]


def _value(hint: Any, value: Any, where: str, special: Mapping[Any, Special]) -> Any:
    """The value of a field whose type is `hint`."""
    if hint in special:
        return special[hint](value, where)
    if dataclasses.is_dataclass(hint):
        return dataclass_of(typing.cast(type, hint), value, where, special)
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        item_type = typing.get_args(hint)[0]
        if item_type is float and all(type(item) is float for item in value):
            return tuple(value)  # faster for long vectors
        return tuple(_value(item_type, item, where, special) for item in value)
    if typing.get_origin(hint) is dict and isinstance(value, Mapping):
        value_type = typing.get_args(hint)[1]
        return {
            str(key): _value(value_type, item, f"{where}: {key}", special)
            for key, item in value.items()
        }
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    number = _number(value)
    if float in allowed and number is not None:
        return number
    if int in allowed and number is not None and number.is_integer():
        return value if isinstance(value, int) else int(number)
    if type(value) not in allowed:
        kinds = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
        raise ConfigError(f"{where}: should be {kinds}, got {value!r}")
    return value


def _number(value: Any) -> float | None:
    """The number that a value stands for, if any: YAML reads 1e-4 and 1e3 as strings."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (OverflowError, ValueError):
        return None
