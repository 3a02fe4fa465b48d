"""What a config of ddvc or PaddleSpeech is translated to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbral.training.train_options import TrainOptions

if TYPE_CHECKING:  # inference reads some settings of these configs, and needs no torch
    from timbral.config.schema import TrainConfig

__all__ = ["Recipe", "RunSettings", "TranslatedConfig", "Translation", "set_key"]


@dataclass(frozen=True)
class Translation:
    """One line of the table that is printed: a key of the file, and what it is in timbral."""

    key: str
    value: str
    mapped_to: str


@dataclass(frozen=True)
class RunSettings:
    """What a file says about the run besides its config; what the caller says comes first."""

    output: Path | None = None
    training_audio: Path | None = None
    """a folder of recordings by speaker, not a store"""
    validation_audio: Path | None = None
    sessions: bool = True
    """recordings lie in folders below their speaker's, too"""
    epochs: int | None = None
    """training sees as many recordings as there are, times this; instead of a number of steps"""
    comet_key: str = field(default="", repr=False)
    """a secret: it is handed to Comet and written nowhere"""
    options: TrainOptions = field(default_factory=TrainOptions)


@dataclass(frozen=True)
class Recipe:
    """A config, the run it describes, and how each key of a foreign file was translated."""

    config: TrainConfig
    run: RunSettings
    translations: tuple[Translation, ...]


@dataclass(frozen=True)
class TranslatedConfig:
    """A foreign file as a mapping for TrainConfig, before overrides."""

    content: dict[str, Any]
    run: RunSettings
    translations: tuple[Translation, ...]


def set_key(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested mappings."""
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
    content[last] = value
