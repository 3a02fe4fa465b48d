"""Loss classes of users, from ``path.py:Class``."""

from __future__ import annotations

from timbral.io.user_code import user_class
from timbral.losses.base import SpeakerLoss
from timbral.losses.registry import LOSSES

__all__ = ["register_loss"]


def register_loss(source: str) -> str:
    """Register a loss class from ``path.py:Class``; returns its name for configs.

    Args:
        source: ``path.py:Class``, a class that derives from SpeakerLoss. The file is run, so its
            name comes from you and never from a checkpoint

    Raises ConfigError for a file that cannot be run, another kind of class, and the name of a loss
    of timbral.
    """
    cls: type[SpeakerLoss] = user_class(source, "a loss", SpeakerLoss, LOSSES, "a loss")
    LOSSES[cls.name] = cls
    return cls.name
