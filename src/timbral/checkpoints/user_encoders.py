"""Encoder classes of users, from ``path.py:Class``."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from timbral.checkpoints.known_names import OWN_ENCODERS
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError

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
    path, _, name = source.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ConfigError(f"an encoder class is given as path.py:Class, got {source!r}")
    cls = getattr(_run(path), name, None)
    if not (isinstance(cls, type) and issubclass(cls, SpeakerEncoder)):
        raise ConfigError(f"{path} has no class {name} that derives from SpeakerEncoder")
    if not dataclasses.is_dataclass(getattr(cls, "config_type", None)) or not hasattr(cls, "name"):
        raise ConfigError(f"{source}: the class needs `name` and `config_type`, a dataclass")
    known = ENCODERS.get(cls.name)
    if known is not None and known.__module__.startswith("timbral."):
        raise ConfigError(f"{source}: the name {cls.name!r} is taken by an encoder of timbral")
    ENCODERS[cls.name] = cls
    if cls.name not in OWN_ENCODERS:
        OWN_ENCODERS.append(cls.name)
    return cls.name


def _run(path: str) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:
        raise ConfigError(f"{path}: cannot be run ({type(error).__name__}: {error})") from None
    return module
