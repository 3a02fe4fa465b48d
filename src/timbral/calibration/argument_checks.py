"""Checks of arguments: thresholds, error rates and priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timbral.errors import ConfigError

__all__ = ["check_prior", "check_rate", "check_threshold"]


def check_threshold(threshold: float | None) -> None:
    """Raise ConfigError unless a threshold, if given, is a cosine."""
    if threshold is not None and not _holds(lambda: -1.0 <= threshold <= 1.0):
        raise ConfigError(f"`threshold` is a cosine and must be in [-1, 1], got {threshold!r}")


def check_rate(argument: str, rate: float) -> None:
    """Raise ConfigError unless an error rate is between 0 and 1."""
    if not _holds(lambda: 0.0 < rate < 1.0):
        raise ConfigError(f"`{argument}` must be between 0 and 1, such as 0.01; got {rate!r}")


def check_prior(prior: float) -> None:
    """Raise ConfigError unless a prior probability is between 0 and 1."""
    if not _holds(lambda: 0.0 < prior < 1.0):
        raise ConfigError(
            "`prior` is the probability of the same speaker before comparing and must be between "
            f"0 and 1, such as 0.5; got {prior!r}"
        )


def _holds(comparison: Callable[[], Any]) -> bool:
    """Whether a comparison is true; what cannot be compared is false."""
    try:
        return bool(comparison())
    except (TypeError, ValueError):
        return False
