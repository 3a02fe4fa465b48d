"""The results of translating a config of ddvc or PaddleSpeech."""

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
    """A key of the file, its value, and its translation, for the table that is printed."""

    key: str
    value: str
    mapped_to: str


@dataclass(frozen=True)
class RunSettings:
    """Settings in a file that are not part of TrainConfig; the caller's own take precedence."""

    output: Path | None = None
    training_audio: Path | None = None
    """a folder of recordings by speaker, not prepared data"""
    validation_audio: Path | None = None
    sessions: bool = True
    """whether speakers' folders may have subfolders with recordings"""
    epochs: int | None = None
    """number of passes over the recordings; None: the number of steps is given"""
    comet_key: str = field(default="", repr=False)
    """a secret, which is passed to Comet and never written"""
    options: TrainOptions = field(default_factory=TrainOptions)


@dataclass(frozen=True)
class Recipe:
    """A config, further settings of the run, and how each key of a foreign file was translated."""

    config: TrainConfig
    run: RunSettings
    translations: tuple[Translation, ...]


@dataclass(frozen=True)
class TranslatedConfig:
    """A translated file, with `content` as a mapping for TrainConfig, before overrides."""

    content: dict[str, Any]
    run: RunSettings
    translations: tuple[Translation, ...]


def set_key(content: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested mappings."""
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
    content[last] = value
