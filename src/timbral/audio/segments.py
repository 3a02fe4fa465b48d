"""Parts of recordings: ``FILE#t=START,END`` stands for the seconds from START to END of a file.

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

NOTATION = re.compile(r"#t=(?P<start>\d+(?:\.\d+)?)?(?:,(?P<end>\d+(?:\.\d+)?))?$")
LATE_SECONDS = 0.5
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
        found = NOTATION.search(path)
        if found is None:
            return cls(path)
        return cls(path[: found.start()], float(found["start"] or 0), float(found["end"] or "inf"))

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
        """Which of the recording's samples are meant; AudioError when it has no such part."""
        seconds = count / sample_rate
        if self.is_whole:
            return slice(0, count)
        if self.end == math.inf and self.start < seconds:
            return slice(round(self.start * sample_rate), count)
        if not self.start < self.end <= seconds + LATE_SECONDS or self.start >= seconds:
            reason = f"there is no such segment: the recording has {seconds:.3f} s"
            raise AudioError(str(self), reason, "no-such-segment")
        return slice(round(self.start * sample_rate), min(count, round(self.end * sample_rate)))


def recording_ids(spans: Mapping[str, Segment]) -> dict[str, str]:
    """An id for each file: that of the utterance which is all of it, else from the file's name."""
    ids = {span.file: name for name, span in spans.items() if span.is_whole}
    taken = set(ids.values())
    alike: Counter[str] = Counter()
    for file in sorted({span.file for span in spans.values()} - ids.keys()):
        name = stem = "_".join(PurePath(file).stem.split())
        while name in taken:
            alike[stem] += 1
            name = f"{stem}-{alike[stem] + 1}"
        ids[file] = name
        taken.add(name)
    return ids


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
