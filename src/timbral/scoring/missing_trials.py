"""How many trials of a list may be missing from its figures."""

from __future__ import annotations

__all__ = ["MOST_MISSING", "are_too_many"]

MOST_MISSING = 0.01
"""largest fraction of a list's trials that may be missing"""


def are_too_many(missing: int, total: int) -> bool:
    """Whether more than `MOST_MISSING` of the trials are missing, or all of them."""
    return missing > MOST_MISSING * total or missing == total > 0
