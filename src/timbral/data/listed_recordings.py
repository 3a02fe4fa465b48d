"""Corpora without a table: one recording, or a list with one recording per line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.audio.segments import Segment
from timbral.data.corpora.layout_marks import fitting_layouts
from timbral.data.corpora.recognition import AUTO, read_folder
from timbral.data.manifest import Manifest, Utterance
from timbral.data.manifest_reader import utterance_id
from timbral.errors import AudioError, DataError
from timbral.io.storage import is_url, location_below
from timbral.io.text import BLANKS, read_lines

__all__ = ["LIST_SUFFIXES", "is_recording", "read_recording_list", "recordings"]

LIST_SUFFIXES = (".txt", ".lst", ".list")
"""suffixes of lists of recordings, one per line"""
LINE = "a line is a path, optionally followed by the speaker, or path|speaker|language|text"
BARS = 4
"""fewest fields of a line with bars; with fewer, the second may be the speaker or the text"""


def is_recording(source: str) -> bool:
    """Whether a path or URL is that of one recording, or of a segment of one, by its suffix."""
    return PurePosixPath(Segment.of(source).file).suffix.lower() in AUDIO_SUFFIXES


def read_recording_list(path: Path, root: str | Path, layout: str = AUTO) -> Manifest:
    """The recordings of a list, in its order.

    A line is a path; or a path and its speaker, separated by a tab or spaces; or, as in GPT-SoVITS'
    lists, path|speaker|language|text. Relative paths are below `root`. If no speakers are given,
    the paths are read like a corpus's folder (`recordings`). Raises DataError with the line for any
    other content.
    """
    lines = read_lines(path, "a list of recordings")
    pairs = [_split(line, f"{path}:{number}") for number, line in lines]
    if len({speaker is None for _, speaker in pairs}) > 1:
        number = next(n for (n, _), (_, speaker) in zip(lines, pairs, strict=True) if not speaker)
        raise DataError(f"{path}:{number}: has no speaker, but other lines do; {LINE}")
    locations = [location_below(root, name) for name, _ in pairs]
    if not pairs or pairs[0][1] is None:
        return recordings(locations, layout, path)
    rows = zip(pairs, locations, strict=True)
    return Manifest.of(
        Utterance(utterance_id(Segment.of(name)), speaker or "", "", location, "list")
        for (name, speaker), location in rows
    )


def _split(line: str, where: str) -> tuple[str, str | None]:
    """The path of a line, and its speaker."""
    if "\t" not in line and is_recording(line):
        return line, None
    at = line.rfind("\t") if "\t" in line else max(line.rfind(blank) for blank in BLANKS)
    name, speaker = line[:at].strip(BLANKS), line[at + 1 :]
    if at < 0 or not is_recording(name):
        fields = line.split("|")
        if len(fields) >= BARS and is_recording(fields[0]) and fields[1]:
            return fields[0], fields[1]
        raise DataError(
            f"{where}: {LINE}; a path ends in the suffix of a recording, got {line[:80]!r}"
        )
    return name, speaker


def recordings(locations: Sequence[str], layout: str, source: str | Path) -> Manifest:
    """Utterances from only absolute paths or URLs of recordings, in their order.

    Speakers and sessions are those of a corpus with these paths, whose folder is the innermost that
    contains all of them. In a single folder without marks of a layout, all have one speaker with
    the folder's name. Raises DataError as `read_folder` does, naming `source`.
    """
    if not locations:
        raise DataError(f"{source}: contains no recording")
    files = {location: _as_path(Segment.of(location).file) for location in locations}
    above = os.path.commonpath([_folder(file) for file in files.values()])
    with tempfile.TemporaryDirectory(prefix="timbral-names-") as names:
        _touch(names + file for file in files.values())
        root = Path(names + above)
        in_one_folder = all(_folder(file) == above for file in files.values())
        if layout == AUTO and in_one_folder and not fitting_layouts(root):
            layout = "tree"
        try:
            rows = read_folder(root, layout)
        except DataError as error:
            raise DataError(f"{source}: {str(error).replace(names, '')}") from None
        row_of = {row.path.removeprefix(names): row for row in rows}
    why = f"is not an utterance of the layout {rows.layout}"
    return Manifest.of(
        (
            _named(row_of[file], location)
            if file in row_of
            else AudioError(location, why, "no-speaker")
            for location, file in files.items()
        ),
        rows.layout,
    )


def _named(row: Utterance, location: str) -> Utterance:
    """The row of a file for a recording: that file, or a segment of it."""
    segment = Segment.of(location)
    stem = utterance_id(Segment(segment.file))
    name = row.utterance + utterance_id(segment).removeprefix(stem)
    return replace(row, utterance=name, path=location)


def _folder(file: str) -> str:
    return file.rpartition("/")[0] or "/"


def _as_path(file: str) -> str:
    return "/" + file.partition("://")[2] if is_url(file) else file


def _touch(paths: Iterable[str]) -> None:
    """Create empty files with these names, and their parent folders."""
    made: set[str] = set()
    for path in paths:
        folder = _folder(path)
        if folder not in made:
            Path(folder).mkdir(parents=True, exist_ok=True)
            made.add(folder)
        with open(path, "wb"):
            pass
