"""Encoder classes of users, from ``path.py:Class``."""

from __future__ import annotations

from timbral.checkpoints.known_names import OWN_ENCODERS
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.io.user_code import user_class

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
    cls: type[SpeakerEncoder] = user_class(
        source, "an encoder class", SpeakerEncoder, ENCODERS, "an encoder"
    )
    ENCODERS[cls.name] = cls
    if cls.name not in OWN_ENCODERS:
        OWN_ENCODERS.append(cls.name)
    return cls.name
