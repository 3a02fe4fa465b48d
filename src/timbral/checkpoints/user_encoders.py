"""Encoder classes of users, from ``path.py:Class``."""

from __future__ import annotations

import dataclasses

from timbral.checkpoints.known_names import OWN_ENCODERS
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError
from timbral.io.user_code import user_object

__all__ = ["register_encoder"]


def register_encoder(source: str) -> str:
    """Register an encoder class from ``path.py:Class``; returns its name for configs.

    Args:
        source: ``path.py:Class``, a class that derives from SpeakerEncoder. The file is run, so its
            name comes from you and never from a checkpoint

    A class that is imported already is registered by
    ``timbral.encoders.registry.ENCODERS[MyEncoder.name] = MyEncoder``. Raises ConfigError for a
    file that cannot be run, another kind of class, and the name of an encoder of timbral.
    """
    cls = user_object(source, "an encoder class")
    if not (isinstance(cls, type) and issubclass(cls, SpeakerEncoder)):
        raise ConfigError(f"{source}: a class that derives from SpeakerEncoder is needed")
    if not dataclasses.is_dataclass(getattr(cls, "config_type", None)) or not hasattr(cls, "name"):
        raise ConfigError(f"{source}: the class needs `name` and `config_type`, a dataclass")
    known = ENCODERS.get(cls.name)
    if known is not None and known.__module__.startswith("timbral."):
        raise ConfigError(f"{source}: the name {cls.name!r} is taken by an encoder of timbral")
    ENCODERS[cls.name] = cls
    if cls.name not in OWN_ENCODERS:
        OWN_ENCODERS.append(cls.name)
    return cls.name
