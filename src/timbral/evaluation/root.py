"""Check that the recordings of a list are below the given folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from timbral.audio.segments import Segment
from timbral.errors import DataError
from timbral.evaluation.listed_files import ListedFiles
from timbral.io.storage import is_url

__all__ = ["check_root"]

NUM_CHECKED = 50
"""recordings, spread evenly over the list, whose existence is checked; that takes no time"""


def check_root(recordings: Sequence[str], root: str | Path) -> None:
    """Raise DataError if none of up to 50 of the recordings exists: `root` is most likely wrong.

    URLs are not checked.
    """
    step = -(-len(recordings) // NUM_CHECKED) or 1
    listed = ListedFiles(root)
    checked = recordings[::step]
    files = [Segment.of(location).file for location in listed.locations(checked)]
    on_disk = [file for file in files if not is_url(file)]
    if on_disk and not any(Path(file).exists() for file in on_disk):
        example = listed.example
        found = f", and below {root} there is {example}" if example else ""
        if not example and not listed.is_everything:
            found = f", {root} contains no recordings"
        raise DataError(
            "`root` should be the folder that the paths of the list are relative to: none of "
            f"{len(on_disk)} recordings is there, the first {on_disk[0]}; the list has "
            f"{checked[0]}{found}"
        )
