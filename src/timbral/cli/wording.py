"""Wording of messages: counts with plurals, percentages, and flags in place of argument names."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, get_type_hints

from timbral.cli.verb_table import VERBS, load_verb

__all__ = ["by_kind", "count", "flags_of", "name_flags", "option_types", "percent"]

SMALLEST = 1e-6
"""the smallest fraction that four decimals of a percentage can show"""


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: ``1 speaker``, ``2,000 speakers``; by default, the plural adds s."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def by_kind(counts: Counter[str]) -> str:
    """Kinds and their numbers, the most frequent first: ``short 12, noisy 3``."""
    return ", ".join(f"{kind} {number:,}" for kind, number in counts.most_common())


def name_flags(message: str, verb: str) -> str:
    """A message of the library, with a verb's ``--flags`` for arguments named in backticks."""
    if verb not in VERBS:
        return message
    flags = flags_of(load_verb(verb))
    return re.sub(r"`(\w+)`", lambda match: flags.get(match[1], match[0]), message)


def flags_of(run: Callable[..., int]) -> dict[str, str]:
    """Flags of a verb by the names of its parameters, including those of its option groups."""
    return {name: f"--{name.strip('_').replace('_', '-')}" for name in option_types(run)}


def option_types(run: Callable[..., int]) -> dict[str, Any]:
    """Types of a verb's options by the names of its parameters, including those of its groups."""
    hints = get_type_hints(run)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(run).parameters.items():
        if dataclasses.is_dataclass(hints[name]):
            found |= get_type_hints(hints[name])
        elif parameter.kind is parameter.KEYWORD_ONLY:
            found[name] = hints[name]
    return found


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal.

    More decimals, up to four, are used where one would round to 0 % or 100 % what is neither.
    """
    if 0 < fraction < SMALLEST:
        return "<0.0001 %"
    if 1 - SMALLEST < fraction < 1:
        return ">99.9999 %"
    digits = 1
    while digits < 4 and 0 < fraction < 1 and float(f"{100 * fraction:.{digits}f}") in (0.0, 100.0):
        digits += 1
    return f"{100 * fraction:.{digits}f} %"
