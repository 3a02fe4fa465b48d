"""Durations in words."""

from __future__ import annotations

import math

__all__ = ["duration", "too_short"]


def duration(seconds: float) -> str:
    """Seconds in the unit that shows them: ``2.50 h``, ``4.5 min`` below 0.1 h, ``12.3 s``."""
    if seconds >= 360:
        return f"{seconds / 3600:,.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def too_short(seconds: float) -> str:
    """Seconds that are below a limit, to a tenth; 1.96 s is not shown as 2.0 s."""
    return f"{math.floor(10 * seconds + 1e-6) / 10:.1f} s"
