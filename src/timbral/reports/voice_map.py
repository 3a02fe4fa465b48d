"""A voice map to listen to: one HTML file, with no network, in which a click plays a voice."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from timbral.audio.decode import SAMPLE_RATE
from timbral.audio.preprocessing import load
from timbral.errors import AudioError, ConfigError, DataError, MissingExtraError
from timbral.io.files import atomic_write
from timbral.plots.palette import palette

__all__ = ["PageSummary", "Point", "write_page"]

WORKERS = min(8, os.cpu_count() or 1)
AHEAD = 4 * WORKERS  # clips that may be encoded before it is known whether they fit
MP3_COMPRESSION = 0.5  # libsndfile's scale 0 to 1; about 35 kbit/s for speech at 16 kHz

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Point:
    """One utterance on the map; `path` is its recording, `note` is shown beside its name."""

    utterance: str
    speaker: str
    path: str
    x: float
    y: float
    note: str = ""


@dataclass(frozen=True)
class PageSummary:
    """What a page holds. `unreadable` names each recording that was tried in vain, and why."""

    points: int
    clips: int
    speakers: int
    unreadable: list[tuple[str, str]]


def write_page(
    points: Sequence[Point],
    output: Path,
    *,
    title: str,
    clip_seconds: float = 6.0,
    max_megabytes: float = 40.0,
    progress: Progress | None = None,
) -> PageSummary:
    """Write one self-contained HTML file; `output` is replaced at once when the page is complete.

    Each point plays the first `clip_seconds` of its recording, embedded as MP3. When all clips
    would take more than `max_megabytes` (10⁶ bytes, as embedded; the page adds 5 MB of its own),
    speakers take turns until that much is used, each with utterances spread evenly over its list;
    the other points are drawn pale. A recording that cannot be read leaves its point without
    sound. The same input gives the same bytes. `progress` is called with (done, total).
    Raises DataError when there is no point or one is not finite, ConfigError for limits out of
    range, MissingExtraError without plotly.
    """
    if not points:
        raise DataError("the voice map needs at least one point, got none")
    for point in points:
        if not (math.isfinite(point.x) and math.isfinite(point.y)):
            raise DataError(f"{point.utterance}: its point is not finite ({point.x}, {point.y})")
    if not 0.0 < clip_seconds <= 3_600.0:
        raise ConfigError(f"clip_seconds must lie in (0, 3600]: {clip_seconds}")
    if not max_megabytes >= 0.0:
        raise ConfigError(f"max_megabytes must be 0 or more: {max_megabytes}")
    library = _plotly_js()
    clips, failed = _embed(points, clip_seconds, max_megabytes * 1e6, progress)
    if progress:
        progress(len(points), len(points))
    speakers = sorted({point.speaker for point in points})
    page = _fill(title, _data(points, speakers, failed), clips, library)
    with atomic_write(Path(output)) as temporary:
        temporary.write_bytes(page.encode("utf-8", errors="replace"))
    return PageSummary(
        points=len(points),
        clips=sum(map(bool, clips)),
        speakers=len(speakers),
        unreadable=[(points[index].path, reason) for index, reason in sorted(failed.items())],
    )


def _embed(
    points: Sequence[Point], seconds: float, limit: float, progress: Progress | None
) -> tuple[list[str], dict[int, str]]:
    """Return one base64 MP3 a point ("" where it has none) and why some could not be read."""
    queues = [deque(turn) for turn in _turns(points)]
    encoder = _Encoder(points, queues, seconds)
    clips, heard, used = [""] * len(points), 0, 0
    try:
        while queues:
            for queue in queues:
                index, clip = encoder.first_readable(queue)
                used += len(clip)
                if used > limit:
                    return clips, encoder.failed
                if clip:
                    clips[index] = clip
                    heard += 1
                if progress:
                    progress(heard + len(encoder.failed), len(points))
            queues = [queue for queue in queues if queue]
        return clips, encoder.failed
    finally:
        encoder.pool.shutdown(cancel_futures=True)


class _Encoder:
    """Clips on demand; threads run a little ahead, in the order in which speakers take turns."""

    def __init__(self, points: Sequence[Point], queues: Iterable[deque[int]], seconds: float):
        rounds = chain.from_iterable(zip_longest(*queues, fillvalue=-1))
        self.upcoming = iter([index for index in rounds if index >= 0])
        self.points = points
        self.seconds = seconds
        self.pool = ThreadPoolExecutor(WORKERS)
        self.running: dict[int, Future[str]] = {}
        self.failed: dict[int, str] = {}

    def first_readable(self, queue: deque[int]) -> tuple[int, str]:
        """Take points off `queue` up to one with a clip; (-1, "") when none has one."""
        while queue:
            index = queue.popleft()
            try:
                return index, self._clip(index)
            except AudioError as error:
                self.failed[index] = error.reason
            except (OSError, ValueError, RuntimeError) as error:
                self.failed[index] = str(error)
        return -1, ""

    def _clip(self, index: int) -> str:
        while index not in self.running or len(self.running) < AHEAD:
            following = next(self.upcoming, None)
            if following is None:
                break
            path = self.points[following].path
            self.running[following] = self.pool.submit(_clip, path, self.seconds)
        return self.running.pop(index).result()


def _turns(points: Sequence[Point]) -> list[list[int]]:
    """Return each speaker's points, speakers by name, in an order whose every start is spread."""
    owned: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        owned.setdefault(point.speaker, []).append(index)
    return [[mine[rank] for rank in _spread(len(mine))] for _, mine in sorted(owned.items())]


def _spread(count: int) -> list[int]:
    """Order 0 … count - 1 so that the first few lie evenly apart (bit reversal)."""
    bits = max(count - 1, 0).bit_length()
    reversed_bits = (int(f"{rank:0{bits}b}"[::-1], 2) for rank in range(1 << bits))
    return [rank for rank in reversed_bits if rank < count]


def _clip(path: str, seconds: float) -> str:
    """Encode the start of a recording as base64 MP3; the errors are those of `load`."""
    wave = load(path)[: max(1, round(seconds * SAMPLE_RATE))]
    if wave.size == 0:
        raise AudioError(path, "the recording is too short", "too-short")
    memory = io.BytesIO()
    soundfile.write(
        memory,
        np.clip(wave, -1.0, 1.0),
        SAMPLE_RATE,
        format="MP3",
        compression_level=MP3_COMPRESSION,
    )
    return base64.b64encode(memory.getvalue()).decode("ascii")


def _data(
    points: Sequence[Point], speakers: Sequence[str], failed: dict[int, str]
) -> dict[str, Any]:
    number = {speaker: index for index, speaker in enumerate(speakers)}
    return {
        "speakers": speakers,
        "colors": palette(len(speakers)),
        "speaker": [number[point.speaker] for point in points],
        "utterance": [point.utterance for point in points],
        "path": [point.path for point in points],
        "note": [point.note for point in points],
        "x": [round(float(point.x), 5) for point in points],
        "y": [round(float(point.y), 5) for point in points],
        "failed": failed,
    }


def _fill(title: str, data: dict[str, Any], clips: Sequence[str], library: str) -> str:
    """Put the parts into the template in one pass, so that none is searched for markers."""
    total, heard, voices = len(clips), sum(map(bool, clips)), len(data["speakers"])
    counts = f"{total:,} utterance{'s'[: total != 1]} · {voices:,} speaker{'s'[: voices != 1]}"
    parts = {
        "TITLE": html.escape(title),
        "COUNTS": counts,
        "SOUND": f"{heard:,} of {total:,} points have sound"
        + "; pale ones do not" * (heard < total),
        "PLOTLY": library,
        "DATA": _script_json(data),
        "CLIPS": _script_json(clips),
    }
    template = files("timbral.reports").joinpath("voice_map.html").read_text(encoding="utf-8")
    return re.sub(r"@@([A-Z]+)@@", lambda marker: parts[marker[1]], template)


def _script_json(value: object) -> str:
    """JSON that is safe inside <script>: no character in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _plotly_js() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError("the voice map", "map") from None
    return str(get_plotlyjs())
