"""Rows of Lhotse's manifests as utterances.

A line that cannot be used is a failure that names its file and line; the others are kept. Of a
recording's ``transforms`` those are applied that can be applied exactly (`TRANSFORMS`); with any
other the utterances are failures, because their audio would be another.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from timbral.audio.segments import Segment
from timbral.data.locations import listed_path
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError

__all__ = ["Line", "ListedRecording", "further_of", "read_lines_in", "read_lines_of", "scan_lhotse"]

TOLERANCE_SECONDS = 0.05
"""a supervision that begins and ends this near to its recording's ends covers it"""
FURTHER = ("gender", "age", "language", "text")
"""keys of a supervision that become columns, as its custom fields do"""
OWN_CUSTOM = ("session", "corpus")
"""custom fields that timbral writes itself"""
DIGITS = 18
"""most digits of a whole number that fits 64 bits for certain"""
EXACT_SECONDS = 1e-4
"""a supervision that ends this near to its recording's end ends with it"""


def scan_lhotse(root: Path) -> Iterator[Utterance | AudioError]:
    """A folder with ``*recordings*.jsonl[.gz]`` and ``*supervisions*.jsonl[.gz]``.

    The session is ``custom.session`` when it is there. A supervision may be a segment of its
    recording, and of one of its channels.
    """
    recordings: dict[str, ListedRecording] = {}
    unusable: dict[str, str] = {}
    for line in read_lines_of(root, "recordings"):
        name = ""
        try:
            name = line.text("id")
            if name in recordings:
                raise ValueError(f"recording {name!r} occurs more than once")
            recordings[name] = ListedRecording.of(line, root)
        except ValueError as error:
            unusable[name] = f"{line.where}: {error}"
            if not name:  # else the supervisions of it are failures
                yield line.failure(error)
    for line in read_lines_of(root, "supervisions"):
        try:
            yield _utterance(line, recordings, unusable)
        except ValueError as error:
            yield line.failure(error)


@dataclass(frozen=True)
class Line:
    """A line of a manifest; numbers are the text that they are written as."""

    where: str
    """FILE:LINE"""
    row: Mapping[str, Any]

    def text(self, key: str) -> str:
        """The value of a key; ValueError when there is none that is text or a number."""
        if not self.row:
            raise ValueError("is not a JSON object")
        value = self.row.get(key)
        if not isinstance(value, str) or not value:
            raise ValueError(f"has no {key!r}" if value in (None, "") else _unfit(key, value))
        return value

    def seconds(self, key: str) -> float:
        seconds = _number(key, self.text(key))
        if seconds < 0:
            raise ValueError(_unfit(key, self.row[key]))
        return seconds

    def list(self, key: str) -> list[Any]:
        """The items of a list, none when it is missing; of a single text itself."""
        value = self.row.get(key)
        if value is None:
            return []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list):
            raise ValueError(_unfit(key, value))
        return value

    def failure(self, error: ValueError) -> AudioError:
        name = self.row.get("id", "")
        of = f"{name}: " if isinstance(name, str) and name else ""
        return AudioError(self.where, f"{of}{error}", "bad-line")


def _unfit(key: str, value: object) -> str:
    return f"{key!r} cannot be {json.dumps(value)[:60]}"


def _number(key: str, text: str) -> float:
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(_unfit(key, text))
    return number


@dataclass(frozen=True)
class ListedRecording:
    """What a line of recordings says."""

    sources: tuple[tuple[str, tuple[str, ...]], ...]
    """file or URL, and the names of its channels"""
    seconds: float
    """as it is played"""
    played: Segment
    """without its file"""

    @classmethod
    def of(cls, line: Line, root: Path) -> ListedRecording:
        """Raises ValueError when the recording is no file, or not as it is recorded."""
        sources = []
        for source in line.list("sources"):
            given = Line(line.where, source if isinstance(source, dict) else {})
            if (kind := given.text("type")) not in ("file", "url"):
                raise ValueError(f"its source is of the type {kind!r}; files and URLs are read")
            location = listed_path(given.text("source"), root)
            sources.append((location, tuple(map(str, given.list("channels"))) or ("0",)))
        if not sources:
            raise ValueError("has no 'sources'")
        played = Segment("")
        for transform in line.list("transforms"):
            played = _transformed(played, transform)
        return cls(tuple(sources), line.seconds("duration"), played)

    def segment(self, channels: set[str], start: float, seconds: float) -> Segment:
        """Seconds of some channels; ValueError when these are neither one nor all of a file."""
        if seconds == 0:
            raise ValueError("'duration' cannot be 0")
        fitting = [(file, names) for file, names in self.sources if channels <= set(names)]
        if not fitting:
            known = [name for _, names in self.sources for name in names]
            raise ValueError(
                f"uses the channels {sorted(channels)} of {known}, which are not in one file; "
                "write them to one file first"
            )
        file, names = fitting[0]
        if len(channels) > 1 and channels != set(names):
            raise ValueError(
                f"uses the channels {sorted(channels)} of {list(names)}; only one or all channels "
                "of a file can be read: write them to a file first"
            )
        channel = None if len(names) == 1 or len(channels) > 1 else names.index(min(channels))
        segment = replace(self.played, file=file, channel=channel)
        rest = self.seconds - start - seconds
        if max(start, abs(rest)) <= TOLERANCE_SECONDS:
            return segment
        end = math.inf if abs(rest) < EXACT_SECONDS else (start + seconds) * segment.speed
        return replace(segment, start=start * segment.speed, end=end)


def _transformed(played: Segment, transform: object) -> Segment:
    """What is played after one more transform; ValueError for one that is not applied."""
    given = transform if isinstance(transform, dict) else {}
    name, settings = given.get("name"), given.get("kwargs")
    if name not in TRANSFORMS or not isinstance(settings, dict):
        raise ValueError(
            f"its transform {name!r} is not supported, only {', '.join(TRANSFORMS)}; write the "
            "transformed audio to files, as Lhotse's save_audios does, and list these"
        )
    return TRANSFORMS[name](played, settings)


def _speed(played: Segment, settings: dict[str, Any]) -> Segment:
    return replace(played, speed=played.speed * _positive("factor", settings))


def _volume(played: Segment, settings: dict[str, Any]) -> Segment:
    return replace(played, gain=played.gain * _positive("factor", settings))


def _resample(played: Segment, settings: dict[str, Any]) -> Segment:
    """A lower rate narrows the band; to a higher one nothing is added."""
    source = _positive("source_sampling_rate", settings)
    target = _positive("target_sampling_rate", settings)
    if target >= source:
        return played
    of_file = round(target / played.speed)
    return replace(played, rate=min(of_file, played.rate or of_file))


def _positive(key: str, settings: dict[str, Any]) -> float:
    number = _number(key, settings.get(key, ""))
    if number <= 0:
        raise ValueError(_unfit(key, settings[key]))
    return number


TRANSFORMS: dict[str, Callable[[Segment, dict[str, Any]], Segment]] = {
    "Speed": _speed,
    "Volume": _volume,
    "Resample": _resample,
}
"""Lhotse's names of the transforms that are applied"""


def _utterance(
    line: Line, recordings: Mapping[str, ListedRecording], unusable: Mapping[str, str]
) -> Utterance:
    """The utterance of a supervision; ValueError when there is none."""
    name, recording = line.text("id"), line.text("recording_id")
    if recording in unusable:
        raise ValueError(f"its recording cannot be used: {unusable[recording]}")
    if recording not in recordings:
        raise ValueError(f"belongs to recording {recording!r}, which is not listed")
    if line.row.get("speaker") in (None, ""):
        raise ValueError("names no speaker")
    channels = set(map(str, line.list("channel"))) or {"0"}
    segment = recordings[recording].segment(
        channels, line.seconds("start"), line.seconds("duration")
    )
    custom = line.row.get("custom")
    session = custom.get("session") if isinstance(custom, dict) else None
    if not isinstance(session, str | None):
        raise ValueError(_unfit("session", session))
    further = further_of(line.row)
    return Utterance(
        name, line.text("speaker"), session or "", str(segment), "lhotse", further=further
    )


def further_of(*rows: Mapping[str, Any]) -> dict[str, Any]:
    """What supervisions and cuts say besides: `FURTHER` keys, and custom fields; later ones win."""
    values: dict[str, Any] = {}
    for row in rows:
        custom = row.get("custom")
        fields = {key: row[key] for key in FURTHER if key in row}
        fields |= custom if isinstance(custom, dict) else {}
        values |= {k: _typed(v) for k, v in fields.items() if k not in OWN_CUSTOM}
    return {name: value for name, value in values.items() if value is not None}


def _typed(value: Any) -> Any:
    """A value of a line, its numbers as numbers."""
    if isinstance(value, _Whole | _Fraction):
        number = float(value)
        return number if isinstance(value, _Fraction) or len(value) > DIGITS else int(value)
    return value


def read_lines_of(root: Path, kind: str) -> Iterator[Line]:
    """Lines of ``*KIND*.jsonl[.gz]``, recordings or supervisions; DataError without any."""
    paths = sorted([*root.glob(f"*{kind}*.jsonl"), *root.glob(f"*{kind}*.jsonl.gz")])
    if not paths:
        raise DataError(f"{root}: contains no *{kind}*.jsonl or *{kind}*.jsonl.gz")
    for path in paths:
        yield from read_lines_in(path, kind)


def read_lines_in(path: Path, kind: str) -> Iterator[Line]:
    """Lines of one file; DataError where it cannot be read."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield _parse(f"{path}:{number}", text)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as Lhotse's {kind} ({error})") from None


class _Whole(str):
    """A whole number as it is written."""


class _Fraction(str):
    """Any other number as it is written."""


def _parse(where: str, text: str) -> Line:
    """A line; one that is no JSON object is an empty one, which has none of the keys."""
    try:
        row = json.loads(text, parse_int=_Whole, parse_float=_Fraction, parse_constant=_Fraction)
    except (ValueError, RecursionError):
        row = None
    return Line(where, row if isinstance(row, dict) else {})
