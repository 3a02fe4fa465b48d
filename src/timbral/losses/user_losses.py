"""Users' own losses, from ``path.py:Class``."""

from __future__ import annotations

from timbral.io.user_code import user_class
from timbral.losses.base import SpeakerLoss
from timbral.losses.registry import LOSSES

__all__ = ["register_loss"]


def register_loss(source: str) -> str:
    """Register a loss class from ``path.py:Class``; returns its name for configs.

    Args:
        source: ``path.py:Class``, a class that derives from SpeakerLoss. The file is run, so the
            name must come from you and is never read from a checkpoint

    Raises ConfigError for a file that cannot be run, a class that is no SpeakerLoss, and a class
    with the name of one of timbral's losses.
    """
    cls: type[SpeakerLoss] = user_class(source, "a loss", SpeakerLoss, LOSSES, "a loss")
    LOSSES[cls.name] = cls
    return cls.name
