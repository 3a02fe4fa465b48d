"""What a foreign config becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timbral.config.schema import TrainConfig
from timbral.training.options import TrainOptions

__all__ = ["Meaning", "Recipe", "RunSettings", "Translated", "put"]


@dataclass(frozen=True)
class Meaning:
    """One line of the table that is printed: a key of the file and what it became."""

    key: str
    value: str
    became: str


@dataclass(frozen=True)
class RunSettings:
    """What a file says about the run besides its config; flags of the command win."""

    output: Path | None = None
    training_audio: Path | None = None
    """a folder of recordings by speaker, not a store"""
    validation_audio: Path | None = None
    sessions: bool = True
    """recordings lie in folders below their speaker's, too"""
    epochs: int | None = None
    """how often to hear as many recordings as there are, instead of a number of steps"""
    comet_key: str = field(default="", repr=False)
    """a secret: it is handed to Comet and written nowhere"""
    options: TrainOptions = field(default_factory=TrainOptions)


@dataclass(frozen=True)
class Recipe:
    """A config, the run it describes, and what each key of a foreign file became."""

    config: TrainConfig
    run: RunSettings
    meanings: tuple[Meaning, ...]


@dataclass(frozen=True)
class Translated:
    """A foreign file as a mapping for TrainConfig, before overrides."""

    content: dict[str, Any]
    run: RunSettings
    meanings: tuple[Meaning, ...]


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested mappings."""
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
    content[last] = value
