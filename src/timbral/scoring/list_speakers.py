"""Speakers of the recordings of a list of trials or scores, in a file beside it: LIST.utt2spk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from timbral.io.files import atomic_write
from timbral.scoring.trial_speakers import Speakers

__all__ = ["listed_speakers", "speakers_file", "write_speakers"]


def speakers_file(listed: str | Path) -> Path:
    """Path of the file with the speakers of a list's recordings."""
    return Path(f"{listed}.utt2spk")


def listed_speakers(given: Speakers | None, *lists: str | Path) -> Speakers | None:
    """`given`, else the file of speakers beside the first list that has one."""
    files = [] if given is not None else [speakers_file(each) for each in lists]
    return next((path for path in files if path.is_file()), given)


def write_speakers(listed: str | Path, speakers: Iterable[tuple[str, str]]) -> None:
    """Write names of a list and their speakers beside it."""
    with atomic_write(speakers_file(listed)) as temporary:
        lines = (f"{name}\t{speaker}\n" for name, speaker in speakers)
        temporary.write_text("".join(lines), "utf-8")
