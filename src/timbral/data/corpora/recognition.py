"""Recognize the layout of a folder from its names; a folder that fits two layouts is refused.

Reading a corpus in a wrong layout gives no error by itself: all speakers become one, or each
becomes several. So nothing is assumed that the names do not show.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from timbral.data.corpora.layout_marks import fitting_layouts, missing_half
from timbral.data.corpora.readings import Reading, describe_readings
from timbral.data.corpora.registry import CORPORA, LAYOUTS
from timbral.data.corpora.scanning import scan_rows
from timbral.data.manifest import Manifest, Utterance, first_failure
from timbral.errors import DataError

__all__ = ["AUTO", "read_folder", "recognize_layout"]

AUTO = "auto"
"""the name of a layout that means: recognize it"""
PLAIN, TREE = "folder", "tree"
FOLDERS_LOOKED_INTO = 20
"""subfolders to check for corpora, in a folder that fits no layout"""
SPLITS = re.compile(
    r"(train|dev|test|eval|valid|validation)([-_.].*)?|wavs?\d*([-_].*)?|audio|clips|data|flac|mp3",
    re.IGNORECASE,
)
"""names of folders that contain speakers, and are not speakers"""
CELEBRITY = re.compile(r"id\d{5}")
"""VoxCeleb's and CN-Celeb's names of speakers"""
TELLING_NAME = 4
"""shortest speaker's name with which a recording's name does not begin by chance"""


def recognize_layout(root: Path) -> str:
    """The first layout whose marks the folder has, else ``folder``; fast, by a few names."""
    return next(iter(fitting_layouts(root)), PLAIN)


def read_folder(root: Path, layout: str = AUTO) -> Manifest:
    """The utterances of a folder in a layout, by default the one that its names show.

    `Manifest.layout` says which. Raises DataError as `scan_rows` does; without a given layout also,
    with the alternatives, if two layouts fit and give different speakers, or if it is unclear
    whether the first folders are speakers or contain speakers.
    """
    if layout != AUTO:
        return scan_rows(layout, root)
    if not root.is_dir():
        return scan_rows(PLAIN, root)  # says what is there
    refused: list[DataError] = []
    readings = _readings(fitting_layouts(root), root, refused)
    if len(_of_other_speakers(readings)) > 1:
        raise DataError(
            f"{root}: {len(readings)} layouts fit, and they give different speakers; choose the "
            f"right one with `layout`:\n{describe_readings(readings)}"
        )
    if readings:
        return readings[0].rows
    try:
        return _read_plain(root)
    except DataError:
        if refused:  # the folder is of this layout, and holds no other recordings
            raise refused[0] from None
        if lacking := missing_half(root):
            raise DataError(f"{root}: {lacking}") from None
        raise


def _readings(
    layouts: Iterable[str], root: Path, refused: list[DataError] | None = None
) -> list[Reading]:
    """The readings of layouts that use more than half of the recordings in their scope.

    `refused` takes the errors of those that cannot be read, or whose files hold nothing usable.
    """
    readings = []
    for layout in layouts:
        try:
            rows = Manifest.of(LAYOUTS[layout].scan(root), layout)
        except DataError as error:  # a list that cannot be read
            if refused is not None:
                refused.append(error)
            continue
        if len(rows) > sum(failure.kind == "no-speaker" for failure in rows.failures):
            readings.append(Reading(layout, rows))
        elif not len(rows) and layout not in CORPORA and refused is not None:
            why = f"its lists (layout {layout}) are empty"
            if rows.failures:
                why = first_failure(rows.failures)
            refused.append(DataError(f"{root}: contains no usable utterances; {why}"))
    return readings


def _of_other_speakers(readings: Sequence[Reading]) -> list[Reading]:
    """The first of each group of readings that give all recordings the same speakers."""
    distinct: list[tuple[dict[str, str], Reading]] = []
    for reading in readings:
        speakers = reading.speaker_of_path()
        if all(speakers != other for other, _ in distinct):
            distinct.append((speakers, reading))
    return [reading for _, reading in distinct]


def _read_plain(root: Path) -> Manifest:
    """A folder without marks: one folder per speaker, if nothing indicates another reading."""
    rows = Manifest.of(LAYOUTS[PLAIN].scan(root), PLAIN)
    if len(rows) and _are_speakers(rows):
        return rows
    trees = _readings([TREE], root)
    if not trees:
        return scan_rows(PLAIN, root)  # says what is there
    if not len(rows):
        raise DataError(
            f"{root}: the recordings are not in speakers' folders; give a table with the columns "
            f"path and speaker, or a `layout`:\n{describe_readings(trees)}"
        )
    others = [layout for layout in CORPORA if layout not in (PLAIN, TREE)]
    readings = [Reading(PLAIN, rows), *trees, *_readings(others, root)]
    raise DataError(
        f"{root}: the names do not show whether its folders are speakers or contain speakers; "
        "choose a "
        f"`layout`:\n{describe_readings(_of_other_speakers(readings))}{_corpora_inside(root)}"
    )


def _are_speakers(rows: Manifest) -> bool:
    """Whether the first folders are speakers, rather than parts of a corpus with speakers in them.

    They are speakers if their content shows no other grouping, if recordings are named after them,
    if half of them contain recordings themselves, or if they have folders with the same names in
    them (sessions), and there are more speakers than sessions. They are not if one of them has the
    name of a part of a corpus (``train``, ``wav``), or if there is only one.
    """
    below: dict[str, set[str]] = {}
    named = 0
    for row in rows:
        below.setdefault(row.speaker, set()).add(row.session)
        named += _is_named_by_speaker(row)
    deep = [speaker for speaker, sessions in below.items() if sessions != {""}]
    if any(SPLITS.fullmatch(speaker) for speaker in deep):
        return False
    groups = sum(map(len, below.values()))
    if groups == len(below):
        return True
    if len(below) == 1:
        return False
    hold_recordings = sum("" in sessions for sessions in below.values())
    if named > len(rows) / 2 or hold_recordings >= len(below) / 2:
        return True
    distinct = len(set().union(*below.values()))
    return distinct <= min(len(below), groups / 2) or all(map(CELEBRITY.fullmatch, below))


def _is_named_by_speaker(row: Utterance) -> bool:
    """``anna_01.wav`` of anna; not ``12.wav`` of 1."""
    rest = Path(row.path).stem.removeprefix(row.speaker)
    begins = Path(row.path).stem.startswith(row.speaker)
    return begins and (len(row.speaker) >= TELLING_NAME or not rest[:1].isalnum())


def _corpora_inside(root: Path) -> str:
    """A text of which subfolders are corpora."""
    folders = sorted(path for path in root.iterdir() if path.is_dir())[:FOLDERS_LOOKED_INTO]
    corpora = [
        f"{os.fspath(folder)} ({layouts[0]})"
        for folder in folders
        if (layouts := fitting_layouts(folder))
    ]
    return f"\nor give one of the corpora in it: {', '.join(corpora)}" if corpora else ""
