"""Whether a list of trials is of the folder that it is said to be of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.errors import DataError
from timbral.evaluation.listed_files import ListedFiles
from timbral.io.storage import is_url

__all__ = ["check_root"]

LOOKED_FOR = 50
"""recordings, evenly spread over the list: a disk answers for them at once"""


def check_root(recordings: Sequence[str], root: str | Path) -> None:
    """DataError when none of some of the `recordings` is there: `root` is most likely another.

    Asked before anything is loaded or written. Recordings behind URLs are not looked for.
    """
    step = -(-len(recordings) // LOOKED_FOR) or 1
    listed = ListedFiles(root)
    some = recordings[::step]
    files = [Segment.of(location).file for location in listed.locations(some)]
    on_disk = [file for file in files if not is_url(file)]
    if on_disk and not any(Path(file).exists() for file in on_disk):
        example = listed.example
        there = f", and below {root} there is {example}" if example else ""
        if not example and not listed.is_everything:
            there = f", {root} contains no recordings"
        raise DataError(
            "`root` should be the folder that the paths of the list are relative to: none of "
            f"{len(on_disk)} recordings is there, the first {on_disk[0]}; the list has "
            f"{some[0]}{there}"
        )
