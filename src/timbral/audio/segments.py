"""Segments of recordings: ``FILE#t=START,END`` stands for the seconds from START to END of a file.

The notation is that of Media Fragments URI 1.0 (W3C, section 4.2.1, normal play time in seconds).
Either number may be left out: ``#t=,2.5`` begins with the recording, ``#t=2.5`` ends with it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from timbral.errors import AudioError

__all__ = ["Segment", "recording_ids"]

SEGMENT_NOTATION = re.compile(r"#t=(?P<start>\d+(?:\.\d+)?)?(?:,(?P<end>\d+(?:\.\d+)?))?$")
END_TOLERANCE_SECONDS = 0.5
"""Lists round their times: an end this far behind the recording's is taken for it, as in Kaldi."""


@dataclass(frozen=True)
class Segment:
    """A recording, or the seconds from `start` to `end` of one."""

    file: str
    start: float = 0.0
    end: float = math.inf

    @classmethod
    def of(cls, path: str) -> Segment:
        """What a path, with or without ``#t=``, stands for."""
        match = SEGMENT_NOTATION.search(path)
        if match is None:
            return cls(path)
        return cls(path[: match.start()], float(match["start"] or 0), float(match["end"] or "inf"))

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == math.inf

    def __str__(self) -> str:
        """The path, with times to the microsecond."""
        if self.is_whole:
            return self.file
        end = "" if self.end == math.inf else f",{_seconds(self.end)}"
        return f"{self.file}#t={_seconds(self.start)}{end}"

    def samples(self, count: int, sample_rate: int) -> slice:
        """Which of the recording's samples are meant; AudioError when it has no such segment."""
        seconds = count / sample_rate
        if self.is_whole:
            return slice(0, count)
        if self.end == math.inf and self.start < seconds:
            return slice(round(self.start * sample_rate), count)
        if not self.start < self.end <= seconds + END_TOLERANCE_SECONDS or self.start >= seconds:
            reason = f"there is no such segment: the recording has {seconds:.3f} s"
            raise AudioError(str(self), reason, "no-such-segment")
        return slice(round(self.start * sample_rate), min(count, round(self.end * sample_rate)))


def recording_ids(segments: Mapping[str, Segment]) -> dict[str, str]:
    """An id for each file, from segments by utterance id.

    It is that of the utterance which is the whole file, else the file's name; files of one name
    are numbered.
    """
    ids = {segment.file: name for name, segment in segments.items() if segment.is_whole}
    used = set(ids.values())
    copies: Counter[str] = Counter()
    for file in sorted({segment.file for segment in segments.values()} - ids.keys()):
        name = stem = "_".join(PurePath(file).stem.split())
        while name in used:
            copies[stem] += 1
            name = f"{stem}-{copies[stem] + 1}"
        ids[file] = name
        used.add(name)
    return ids


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
