"""Lists of speakers, one per line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from timbral.errors import DataError, did_you_mean
from timbral.io.text import read_lines

__all__ = ["read_speakers", "select_speakers"]


def read_speakers(path: Path) -> list[str]:
    """Read speaker ids, one per line, without blank lines; DataError if there are none."""
    speakers = [line for _, line in read_lines(path, "a list of speakers")]
    if not speakers:
        raise DataError(f"{path}: contains no speaker; one speaker id per line is needed")
    return speakers


def select_speakers(listed: Sequence[str], known: Iterable[str], where: Path | str) -> set[str]:
    """The listed speakers; DataError if one of them is not in `known`."""
    known = set(known)
    missing = [speaker for speaker in listed if speaker not in known]
    if missing:
        hint = did_you_mean(missing[0], known) if len(known) <= 20 else ""
        raise DataError(
            f"{where}: {len(missing)} of {len(listed)} listed speakers are not in the data, "
            f"such as {missing[0]!r}{hint or f'; the data has {sorted(known)[:3]} and others'}"
        )
    return set(listed)
