"""The loss settings of a checkpoint that was trained with a user's own loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["UnknownLossConfig"]


@dataclass(frozen=True)
class UnknownLossConfig:
    """The config of a loss whose class is not registered.

    The settings are kept as they were written. An encoder runs without its loss; only training
    needs the class.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    """the loss's name, and the fields of its config"""
