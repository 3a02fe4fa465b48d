"""How many trials of a list may be missing from its figures."""

from __future__ import annotations

__all__ = ["FEW", "are_too_many"]

FEW = 0.01
"""this fraction of a list's trials may be missing"""


def are_too_many(missing: int, total: int) -> bool:
    """Whether more than `FEW` of the trials are missing, or all of them."""
    return missing > FEW * total or missing == total > 0
