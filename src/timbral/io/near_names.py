"""Suggest similar names for missing files and other names."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["beside", "near_name"]

SHOWN = 6
"""names in a message"""


def beside(path: Path, fits: Callable[[Path], bool] | None = None) -> str:
    """``; did you mean …?`` or ``; beside it: …`` to append to a message that `path` is missing.

    Names are from the nearest existing folder; empty if it cannot be listed. `fits`: which of the
    entries beside `path` may have been meant; None: all.
    """
    missing = path.absolute()
    while not missing.parent.is_dir() and missing != missing.parent:
        missing = missing.parent
    try:
        found = list(missing.parent.iterdir())
    except OSError:
        return ""
    if fits is not None and missing == path.absolute():
        found = [each for each in found if fits(each)]
        if not found:
            return f"; there is none in {missing.parent}"
    entries = {entry.name: entry.is_dir() for entry in found}
    names = sorted(f"{name}/" if entries[name] else name for name in entries if name[0] != ".")
    near = _alike(missing.name, list(entries))
    if near := [name for name in near if _stems_are_alike(missing.name, name)]:
        shown = missing.parent if path.is_absolute() else _relative(missing.parent)
        rest = path.absolute().relative_to(missing)
        whole = [Path(name) / rest for name in near if (missing.parent / name / rest).exists()]
        return f"; did you mean {shown / (whole or near)[0]}?"
    if not names:
        return f"; {missing.parent} is empty"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"; in {missing.parent}: {', '.join(names[:SHOWN])}{more}"


def _alike(name: str, names: Sequence[str]) -> list[str]:
    """The three most similar names; capitals do not count."""
    of_folded: dict[str, list[str]] = {}
    for each in names:
        of_folded.setdefault(each.casefold(), []).append(each)
    near = difflib.get_close_matches(name.casefold(), list(of_folded), n=3)
    return [each for folded in near for each in of_folded[folded]]


def _stems_are_alike(name: str, other: str) -> bool:
    """Whether names are alike without their suffixes: half of `x.onnx` is its suffix."""
    return bool(_alike(Path(name).stem, [Path(other).stem]))


def _relative(folder: Path) -> Path:
    """A folder as seen from the working folder."""
    return Path(os.path.relpath(folder))


def near_name(name: str, names: Sequence[str]) -> str:
    """``; did you mean …?`` or ``; there are: …`` to append to a message that `name` is missing."""
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    if not names:
        return "; it is empty"
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"; there are {', '.join(map(repr, names[:SHOWN]))}{more}"
