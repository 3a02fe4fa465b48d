"""Read the values of a checkpoint.json, which may be damaged or from another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from timbral.audio.preprocessing import Preprocessing
from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError
from timbral.losses.registry import LOSSES
from timbral.losses.unknown import UnknownLossConfig
from timbral.version import __version__

__all__ = ["FORMAT", "CheckpointFields"]

T = TypeVar("T")

FORMAT = 1
"""version of the format of checkpoints"""


class CheckpointFields:
    """Checked values of checkpoint.json; every CheckpointError names the file and the key."""

    def __init__(self, content: object, path: Path) -> None:
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: a JSON object is needed, got {type(content).__name__}")
        self.content: dict[str, Any] = content
        self.path = path

    def check_format(self) -> None:
        """Raise CheckpointError for a checkpoint of another format."""
        version = self.count("format")
        if version != FORMAT:
            remedy = "; update timbral" if version > FORMAT else ""
            raise CheckpointError(
                f"{self.path}: checkpoint format {version}; this timbral ({__version__}) reads "
                f"format {FORMAT}{remedy}"
            )

    def required(self, key: str, expected: type[T]) -> T:
        if key not in self.content:
            raise CheckpointError(f"{self.path}: {key} is missing")
        value = self.content[key]
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise CheckpointError(
                f"{self.path}: {key} should be {_JSON_NAMES[expected]}, got {_shortened(value)}"
            )
        return value

    def optional(self, key: str, expected: type[T], default: T) -> T:
        return self.required(key, expected) if key in self.content else default

    def count(self, key: str) -> int:
        number = self.required(key, int)
        if number < 0:
            raise CheckpointError(f"{self.path}: {key} must be at least 0: {number}")
        return number

    def words(self, key: str) -> tuple[str, ...]:
        items: list[Any] = self.optional(key, list, [])
        for item in items:
            if not isinstance(item, str) or not item:
                raise CheckpointError(
                    f"{self.path}: {key} should contain strings, got {_shortened(item)}"
                )
        return tuple(items)

    def train_config(self) -> TrainConfig:
        config = self.required("config", dict)
        encoder = config.get("encoder")
        name = encoder.get("name") if isinstance(encoder, dict) else encoder
        if isinstance(name, str) and name not in ENCODERS:
            raise CheckpointError(
                f"{self.path}: timbral has no encoder {name!r}; register its class first: "
                "register_encoder('PATH.PY:CLASS'), or the argument encoder_class"
            )
        loss = config.get("loss")
        if isinstance(loss, dict) and _is_unknown_loss(loss):
            known = CheckpointFields({"config": {**config, "loss": "ge2e"}}, self.path)
            return replace(known.train_config(), loss=UnknownLossConfig(loss))
        return self._dataclass(TrainConfig, "config")

    def preprocessing(self) -> Preprocessing:
        return self._dataclass(Preprocessing, "preprocessing")

    def _dataclass(self, expected: type[T], key: str) -> T:
        content = self.required(key, dict)
        try:
            return from_mapping(expected, content, key)
        except ConfigError as error:
            raise CheckpointError(f"{self.path}: {error}") from None
        except (TypeError, ValueError, OverflowError) as error:  # impossible values of fields
            raise CheckpointError(f"{self.path}: {key} cannot be used ({error})") from None


def _is_unknown_loss(loss: Mapping[str, Any]) -> bool:
    """Whether a loss, or one of the terms of a sum, is of a class that is not registered."""
    terms = loss.get("terms")
    inside = [term for term in terms if isinstance(term, dict)] if isinstance(terms, list) else []
    name = loss.get("name")
    return (isinstance(name, str) and name not in LOSSES) or any(map(_is_unknown_loss, inside))


_JSON_NAMES: dict[type, str] = {
    int: "a whole number",
    str: "a string",
    dict: "an object",
    list: "a list",
}


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
