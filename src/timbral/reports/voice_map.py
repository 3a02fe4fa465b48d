"""The voice map: a self-contained HTML page on which a click plays an utterance."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from timbral.errors import ConfigError, DataError
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind
from timbral.io.types import Progress
from timbral.plots.palette import palette
from timbral.reports.clip_folder import ClipFolder
from timbral.reports.map_columns import MapColumn
from timbral.reports.map_findings import MapFinding
from timbral.reports.voice_clips import Clips, encode_clips, path_around

__all__ = ["MAP_PAGE", "PageSummary", "Point", "write_voice_map"]

MAP_PAGE = FileKind("a page that `map` wrote", signature=b'content="timbral map"')

MOST_INSIDE = 2_000
"""up to this number of points, the audio is inside the page"""


@dataclass(frozen=True)
class Point:
    """One utterance on the map."""

    utterance: str
    speaker: str
    path: str
    """its recording"""
    x: float
    y: float
    note: str = ""
    """a remark; the point is then drawn with a ring"""
    refusal: str = ""
    """why its recording must not be read; empty: it may be"""


@dataclass(frozen=True)
class PageSummary:
    """The content of a page, in numbers."""

    num_points: int
    num_clips: int
    num_speakers: int
    unreadable: list[tuple[str, str]]
    """path and reason for each recording that could not be read"""
    undrawn: str = ""
    """characters of speakers' names that no installed font has, and that the plot has as escapes"""


def write_voice_map(
    points: Sequence[Point],
    output: Path,
    *,
    title: str,
    clip_seconds: float = 6.0,
    max_megabytes: float = 40.0,
    most_inside: int = MOST_INSIDE,
    max_folder_megabytes: float = 2_000.0,
    columns: Sequence[MapColumn] = (),
    findings: Sequence[MapFinding] = (),
    progress: Progress = lambda done, total: None,
) -> PageSummary:
    """Write the page; `output` is replaced at once when it is complete.

    Each point plays the first `clip_seconds` of its recording, and a finding with a moment plays
    that long around it. If all clips take more than the limit, those of `findings` come first, then
    speakers take turns with utterances spread evenly over theirs; the remaining points, and those
    of unreadable recordings, have no audio. The same input gives the same bytes.

    Args:
        points: the utterances
        output: the page
        title: its title
        clip_seconds: length of a clip
        max_megabytes: limit on the clips in the page, as base64 MP3, in 10⁶ bytes
        most_inside: with more points, the clips are next to the page, in the folder PAGE-sound
        max_folder_megabytes: limit on the clips in that folder
        columns: by which points can be colored instead of by speaker
        findings: findings of an audit, to list and play
        progress: called with (done, total)

    Raises DataError if there is no point or one is not finite, ConfigError for limits out of range.
    """
    _check(points, clip_seconds, max_megabytes)
    beside = ClipFolder(Path(output)) if len(points) > most_inside else None
    if beside is not None:
        beside.claim()
    recordings, moments = _with_moments(points, findings, clip_seconds)
    others = _append_others(recordings, findings)
    clips = encode_clips(
        [each.path for each in recordings],
        [each.speaker for each in recordings],
        {index: each.refusal for index, each in enumerate(recordings) if each.refusal},
        seconds=clip_seconds,
        max_bytes=(max_megabytes if beside is None else max_folder_megabytes) * 1e6,
        on_clip=lambda done: progress(min(done, len(points)), len(points)),
        first=[*_played_first(findings, moments), *others],
        keep=str if beside is None else beside.keep,
    )
    progress(len(points), len(points))
    speakers = sorted({point.speaker for point in points})
    failures = {row: why for row, why in sorted(clips.failures.items()) if row < len(points)}
    data = _data(points, speakers, failures, columns)
    data["findings"] = _finding_data(findings, moments, others, clips)
    page = _fill_template(title, data | {"beside": beside is not None}, clips)
    with atomic_write(Path(output)) as temporary:
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
    if beside is not None:
        beside.remove_others()
    return PageSummary(
        num_points=len(points),
        num_clips=_num_with_audio(clips, len(points)),
        num_speakers=len(speakers),
        unreadable=[(points[row].path, why) for row, why in failures.items()],
    )


def _with_moments(
    points: Sequence[Point], findings: Sequence[MapFinding], seconds: float
) -> tuple[list[Point], list[int | None]]:
    """The points, followed by one for each finding with a moment, whose recording starts shortly
    before it; and the index of that one for each finding, or None.
    """
    recordings: list[Point] = list(points)
    indices: list[int | None] = []
    for finding in findings:
        if finding.moment is None:
            indices.append(None)
            continue
        point = points[finding.points[0]]
        indices.append(len(recordings))
        path = path_around(point.path, finding.moment, seconds)
        recordings.append(replace(point, path=path))
    return recordings, indices


def _append_others(recordings: list[Point], findings: Sequence[MapFinding]) -> dict[int, int]:
    """Append what findings play of another corpus; the finding of each index."""
    finding_of = {}
    for at, finding in enumerate(findings):
        if (other := finding.other) is not None:
            finding_of[len(recordings)] = at
            named = (other.utterance, other.speaker, other.path)
            recordings.append(Point(*named, 0.0, 0.0, refusal=other.refusal))
    return finding_of


def _finding_data(
    findings: Sequence[MapFinding],
    moments: Sequence[int | None],
    others: Mapping[int, int],
    clips: Clips,
) -> list[dict[str, Any]]:
    """The findings for the page's script, with the clips of their moments and other recordings."""
    data: list[dict[str, Any]] = [
        asdict(finding) | {"clip": clip if clip and clips.addresses[clip] else None, "last": None}
        for finding, clip in zip(findings, moments, strict=True)
    ]
    for clip, at in others.items():
        data[at]["last"] = clip
        data[at]["other"]["refusal"] = clips.failures.get(clip, "")
    return data


def _played_first(findings: Sequence[MapFinding], moments: Sequence[int | None]) -> list[int]:
    """The indices of the recordings that findings play, around a moment first."""
    return [
        row
        for finding, moment in zip(findings, moments, strict=True)
        for row in (*([] if moment is None else [moment]), *finding.points)
    ]


def _num_with_audio(clips: Clips, num_points: int) -> int:
    return sum(map(bool, clips.addresses[:num_points]))


def _check(points: Sequence[Point], clip_seconds: float, max_megabytes: float) -> None:
    if not points:
        raise DataError("the voice map needs at least one point, got none")
    for point in points:
        if not (math.isfinite(point.x) and math.isfinite(point.y)):
            raise DataError(f"{point.utterance}: its point is not finite ({point.x}, {point.y})")
    if not 0.0 < clip_seconds <= 3_600.0:
        raise ConfigError(f"clip_seconds must be above 0 and at most 3600, got {clip_seconds}")
    if not max_megabytes >= 0.0:
        raise ConfigError(f"max_megabytes must be 0 or more, got {max_megabytes}")


def _data(
    points: Sequence[Point],
    speakers: Sequence[str],
    failures: dict[int, str],
    columns: Sequence[MapColumn],
) -> dict[str, Any]:
    index_of = {speaker: index for index, speaker in enumerate(speakers)}
    return {
        "speakers": speakers,
        "colors": palette(len(speakers)),
        "speaker": [index_of[point.speaker] for point in points],
        "utterance": [point.utterance for point in points],
        "path": [point.path for point in points],
        "note": [point.note for point in points],
        "x": [round(float(point.x), 5) for point in points],
        "y": [round(float(point.y), 5) for point in points],
        "failed": failures,
        "columns": [{**asdict(each), "colors": palette(len(each.values))} for each in columns],
    }


def _fill_template(title: str, data: dict[str, Any], clips: Clips) -> str:
    """Fill all markers in one pass, so that an utterance's name cannot be taken for a marker."""
    total = len(data["x"])
    with_audio = _num_with_audio(clips, total)
    sound = f"{with_audio:,} of {total:,} points have sound"
    if with_audio < total:
        sound += "; pale ones do not"
    content = {
        "TITLE": html.escape(title),
        "COUNTS": f"{_count(total, 'utterance')} · {_count(len(data['speakers']), 'speaker')}",
        "SOUND": sound,
        "SCATTER": _resource("scatter.js"),
        "DATA": _script_json(data),
        "CLIPS": _script_json(clips.addresses),
        "MEDIA": "data: blob: 'self' file:" if data["beside"] else "data: blob:",
    }
    return re.sub(r"@@([A-Z]+)@@", lambda marker: content[marker[1]], _resource("voice_map.html"))


def _resource(name: str) -> str:
    """The text of a file that comes with this package."""
    return files("timbral.reports").joinpath(name).read_text(encoding="utf-8")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _script_json(value: object) -> str:
    """JSON that is safe inside <script>, because no character in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
