"""What a checkpoint says of a loss that is not here: one of its trainer's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["UnknownLossConfig"]


@dataclass(frozen=True)
class UnknownLossConfig:
    """Kept as it was written. An encoder runs without its loss; only training needs the class."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """its name, and what its config said"""
