"""Utterances as rows, and lists of speakers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import DataError, did_you_mean

__all__ = ["Utterance", "check_unique", "file_size", "read_speakers", "select_speakers"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording of one speaker, not yet read."""

    utterance: str
    """unique within its corpus"""
    speaker: str
    session: str
    """recordings of one session share room and microphone; empty when unknown"""
    path: str
    corpus: str


def file_size(path: str) -> int:
    """Bytes; -1 for a file that is not there or cannot be looked at."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def check_unique(utterances: Iterable[Utterance], where: Path) -> list[Utterance]:
    """Sort by speaker and utterance; DataError when there are none or two share an id."""
    rows = sorted(utterances, key=lambda row: (row.speaker, row.utterance, row.path))
    if not rows:
        raise DataError(f"{where}: no audio found in the layout asked for")
    for row in rows:
        try:
            f"{row.path}{row.utterance}{row.speaker}".encode()
        except UnicodeEncodeError:
            raise DataError(f"{row.path!r}: the name is not UTF-8; rename the file") from None
    twice = [name for name, count in Counter(row.utterance for row in rows).items() if count > 1]
    if twice:
        paths = [row.path for row in rows if row.utterance == twice[0]]
        raise DataError(
            f"{where}: {len(twice)} utterance ids stand for more than one file, such as "
            f"{twice[0]!r}: {', '.join(paths[:3])}; rename or remove the copies"
        )
    return rows


def read_speakers(path: Path) -> list[str]:
    """Speaker ids, one a line; blank lines are passed over."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of speakers ({error})") from None
    speakers = [line.strip() for line in lines if line.strip()]
    if not speakers:
        raise DataError(f"{path}: names no speaker; one speaker id a line is needed")
    return speakers


def select_speakers(listed: Sequence[str], known: Iterable[str], where: Path | str) -> set[str]:
    """The listed speakers; DataError when one of them is not among `known`."""
    known = set(known)
    missing = [speaker for speaker in listed if speaker not in known]
    if missing:
        hint = did_you_mean(missing[0], known) if len(known) <= 20 else ""
        raise DataError(
            f"{where}: {len(missing)} of {len(listed)} listed speakers are not in the data, "
            f"such as {missing[0]!r}{hint or f'; the data has {sorted(known)[:3]} and others'}"
        )
    return set(listed)
