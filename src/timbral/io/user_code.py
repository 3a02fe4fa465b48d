"""Objects of a user's own Python files, named ``path.py:NAME`` in a command or an argument.

The file is run, so its name must come from the user, never from a checkpoint or another file.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from timbral.errors import ConfigError, did_you_mean

__all__ = ["is_user_source", "user_class", "user_object"]


def is_user_source(name: str) -> bool:
    """Whether a name refers to a Python file: ``path.py:NAME``, possibly without NAME."""
    path, _, own = name.rpartition(":")
    return path.endswith(".py") or own.endswith(".py")


def user_object(source: str, what: str) -> object:
    """The object ``path.py:NAME``; `what` describes it in errors, such as "a loss".

    Raises ConfigError for any other form, a file that cannot be run, and a missing name.
    """
    path, _, name = source.rpartition(":")
    if not (path.endswith(".py") and name):
        raise ConfigError(f"{what} must be given as path.py:NAME, got {source!r}")
    module = _run(path)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if _is_own(value, module)]
        raise ConfigError(f"{path} has no {name}{did_you_mean(name, own)}")
    attribute: object = getattr(module, name)
    return attribute


def user_class(source: str, what: str, base: type, known: Mapping[str, type], kind: str) -> Any:
    """A class of a file for use in configs: it derives from `base`, and has `name` and a config.

    `what` as for `user_object`; `known` are the registered classes by name, `kind` describes them.
    Raises ConfigError as `user_object`, for any other class, and for the name of one of timbral's.
    """
    candidate = user_object(source, what)
    if not (isinstance(candidate, type) and issubclass(candidate, base)):
        raise ConfigError(f"{source}: a class that derives from {base.__name__} is needed")
    cls: Any = candidate
    if not dataclasses.is_dataclass(getattr(cls, "config_type", None)) or not hasattr(cls, "name"):
        raise ConfigError(f"{source}: the class needs `name` and `config_type`, a dataclass")
    taken = known.get(cls.name)
    if taken is not None and taken.__module__.startswith("timbral."):
        raise ConfigError(
            f"{source}: {kind} of timbral already has the name {cls.name!r}; choose another"
        )
    return cls


def _is_own(value: object, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def _run(path: str) -> ModuleType:
    """Run a Python file as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{path}: cannot be run ({type(error).__name__}: {error})") from None
    return module
