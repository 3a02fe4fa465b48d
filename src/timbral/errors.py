"""The errors that timbral raises on purpose.

    TimbralError
    ├── AudioError          one recording cannot be used
    ├── DataError           a corpus, manifest, store, trial or speaker list cannot be used
    ├── ConfigError         a setting is unknown, of the wrong type or out of range
    ├── CheckpointError     a checkpoint or weight file cannot be used
    ├── MissingExtraError   an optional dependency is asked for and not installed
    └── TrainingError       a run cannot start or go on

Every message says what came, what is allowed and what to do. The command line prints it without
a traceback and ends with exit code 2.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

__all__ = [
    "AudioError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingExtraError",
    "TimbralError",
    "TrainingError",
    "check_choice",
    "check_ranges",
    "did_you_mean",
]


class TimbralError(Exception):
    """Base of every error that timbral raises on purpose."""


class AudioError(TimbralError):
    """One recording cannot be used: unreadable, empty, silent, too short."""


class DataError(TimbralError):
    """A corpus, manifest, store, trial list or speaker list cannot be used."""


class ConfigError(TimbralError):
    """A setting is unknown, of the wrong type or out of range."""


class CheckpointError(TimbralError):
    """A checkpoint or a file of weights cannot be used."""


class TrainingError(TimbralError):
    """A training run cannot start or go on."""


class MissingExtraError(TimbralError):
    """An optional dependency is asked for and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the optional dependencies [{extra}], which are not installed; "
            f"install them with: pip install 'timbral[{extra}]'"
        )


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ``; allowed: …`` with the nearest name first, ready to end an error message."""
    names = sorted(allowed)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} allowed: {', '.join(names)}"


def check_choice(key: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    if value not in (names := list(allowed)):
        raise ConfigError(f"{key}: unknown value {value!r}{did_you_mean(value, names)}")


def check_ranges(config: object, section: str, **ranges: tuple[float, float]) -> None:
    """Raise ConfigError unless each named number of `config` lies in its range, ends included.

    None passes; NaN does not.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            allowed = f"at least {low:g}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
            raise ConfigError(f"{section}.{name} must be {allowed}: {value}")
