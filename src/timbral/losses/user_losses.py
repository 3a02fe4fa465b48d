"""Loss classes of users, from ``path.py:Class``."""

from __future__ import annotations

import dataclasses

from timbral.errors import ConfigError
from timbral.io.user_code import user_object
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
    cls = user_object(source, "a loss")
    if not (isinstance(cls, type) and issubclass(cls, SpeakerLoss)):
        raise ConfigError(f"{source}: a class that derives from SpeakerLoss is needed")
    if not dataclasses.is_dataclass(getattr(cls, "config_type", None)) or not hasattr(cls, "name"):
        raise ConfigError(f"{source}: the class needs `name` and `config_type`, a dataclass")
    known = LOSSES.get(cls.name)
    if known is not None and known.__module__.startswith("timbral."):
        raise ConfigError(f"{source}: the name {cls.name!r} is taken by a loss of timbral")
    LOSSES[cls.name] = cls
    return cls.name
