"""The training configs that come with timbral, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from timbral.config.schema import TrainConfig

__all__ = ["describe_configs", "find_config", "load_config"]

FOLDER = Path(__file__).parent / "recipes"


def _names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_config(config: str | Path) -> Path:
    """The path of a config's file, from a path or a name such as ``campplus-ge2e``.

    Raises ConfigError for a name that is neither a file nor a config of timbral.
    """
    path = Path(config)
    if path.exists() or path.suffix or path.parent != Path():
        return path
    if path.name not in _names():
        raise ConfigError(f"no such file or config: {path}{did_you_mean(path.name, _names())}")
    return FOLDER / f"{path.name}.yaml"


def describe_configs() -> dict[str, str]:
    """The names of all configs, and what each is for: the first line of its file."""
    texts = {name: (FOLDER / f"{name}.yaml").read_text("utf-8") for name in _names()}
    return {name: text.partition("\n")[0].strip("# .:") for name, text in texts.items()}


def load_config(config: str | Path, overrides: Mapping[str, object] | None = None) -> TrainConfig:
    """Load a training config.

    Args:
        config: the name of a config that comes with timbral, or the path of a YAML file
        overrides: values that override the file's, by dotted key: ``{"schedule.steps": 1000}``

    Raises ConfigError for unknown keys, wrong types and values out of range.
    """
    from timbral.config import yaml  # imports torch, which the list of names does not need

    pairs = [(key, json.dumps(value)) for key, value in (overrides or {}).items()]
    return yaml.load_config(find_config(config), [word for pair in pairs for word in pair])
