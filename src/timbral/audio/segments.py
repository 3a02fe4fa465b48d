"""Segments of recordings: ``FILE#t=START,END`` stands for the seconds from START to END of a file.

The notation is that of Media Fragments URI 1.0 (W3C, section 4.2.1, normal play time in seconds).
Either number may be left out: ``#t=,2.5`` begins with the recording, ``#t=2.5`` ends with it.
What a list says beyond that follows in any order, between ``&``: ``#t=1,2&channel=0&speed=1.1``.
A recording inside another file, a tar archive or a table, is its bytes: ``a.tar#bytes=512,40000``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from timbral.errors import AudioError

__all__ = ["Segment", "on_channel", "recording_ids"]

NUMBER = r"\d+(?:\.\d+)?"
PAIR = (
    rf"(?:t=(?:{NUMBER})?(?:,{NUMBER})?|channel=\d+|rate=\d+|bytes=\d+,\d+|(?:speed|gain)={NUMBER})"
)
FRAGMENT = re.compile(rf"#(?P<pairs>{PAIR}(?:&{PAIR})*)$")
END_TOLERANCE_SECONDS = 0.5
"""Lists round their times: an end this far behind the recording's is taken for it, as in Kaldi."""


@dataclass(frozen=True)
class Segment:
    """A recording, or the seconds from `start` to `end` of one, and how it is played."""

    file: str
    start: float = 0.0
    end: float = math.inf
    """in seconds of the file, whatever its `speed`"""
    channel: int | None = None
    """the channel that is taken, from 0; None: the mean of all"""
    rate: int | None = None
    """the rate in Hz that it is resampled to first, which narrows its band"""
    speed: float = 1.0
    """how much faster it is played; pitch and formants move, too"""
    gain: float = 1.0
    """what its samples are multiplied by"""
    within: tuple[int, int] | None = None
    """where in `file` the recording's bytes begin, and how many they are; None: it is the file"""

    @classmethod
    def of(cls, path: str) -> Segment:
        """What a path, with or without ``#``, stands for."""
        match = FRAGMENT.search(path) if "#" in path else None
        if match is None:
            return cls(path)
        pairs = dict(pair.split("=") for pair in match["pairs"].split("&"))
        start, _, end = pairs.get("t", "").partition(",")
        offset, _, size = pairs.get("bytes", "").partition(",")
        return cls(
            path[: match.start()],
            float(start or 0),
            float(end or "inf"),
            channel=int(pairs["channel"]) if "channel" in pairs else None,
            rate=int(pairs["rate"]) if "rate" in pairs else None,
            speed=float(pairs.get("speed", 1)),
            gain=float(pairs.get("gain", 1)),
            within=(int(offset), int(size)) if offset else None,
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is the file as it is."""
        return self.is_as_recorded and self.start == 0 and self.end == math.inf

    @property
    def is_as_recorded(self) -> bool:
        """Whether it is no part of a file's bytes, and has its channels, rate, speed and level."""
        is_played_so = self.channel is None and self.rate is None and self.speed == self.gain == 1
        return is_played_so and self.within is None

    @property
    def recording(self) -> str:
        """The file, and where in it the recording lies if it is a part of its bytes."""
        return self.file if self.within is None else str(Segment(self.file, within=self.within))

    def __str__(self) -> str:
        """The path, with times to the microsecond."""
        pairs = [] if self.within is None else ["bytes={},{}".format(*self.within)]
        if self.start != 0 or self.end != math.inf:
            end = "" if self.end == math.inf else f",{_decimal(self.end)}"
            pairs.append(f"t={_decimal(self.start)}{end}")
        pairs += [] if self.channel is None else [f"channel={self.channel}"]
        pairs += [] if self.rate is None else [f"rate={self.rate}"]
        pairs += [] if self.speed == 1 else [f"speed={_decimal(self.speed)}"]
        pairs += [] if self.gain == 1 else [f"gain={_decimal(self.gain)}"]
        return f"{self.file}#{'&'.join(pairs)}" if pairs else self.file

    def samples(self, count: int, sample_rate: int) -> slice:
        """Which of the recording's samples are meant; AudioError when it has no such segment."""
        seconds = count / sample_rate
        if self.start == 0 and self.end == math.inf:
            return slice(0, count)
        if self.end == math.inf and self.start < seconds:
            return slice(round(self.start * sample_rate), count)
        if not self.start < self.end <= seconds + END_TOLERANCE_SECONDS or self.start >= seconds:
            reason = f"there is no such segment: the recording has {seconds:.3f} s"
            raise AudioError(str(self), reason, "no-such-segment")
        return slice(round(self.start * sample_rate), min(count, round(self.end * sample_rate)))

    def played_rate(self, sample_rate: int) -> int:
        """The rate that its samples are to be taken for, in Hz, when they have `sample_rate`."""
        return round((self.rate or sample_rate) * self.speed)


def on_channel(path: str, channel: int) -> str:
    """A path with the channel, from 0, that is taken; one that the path names is replaced."""
    return str(replace(Segment.of(path), channel=channel))


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


def _decimal(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
