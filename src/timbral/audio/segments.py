"""Segments of recordings: ``FILE#t=START,END`` stands for the seconds from START to END of a file.

The notation is that of Media Fragments URI 1.0 (W3C, section 4.2.1, normal play time in seconds).
Either number may be left out: ``#t=,2.5`` begins with the recording, ``#t=2.5`` ends with it.
Further settings follow in any order, separated by ``&``: ``#t=1,2&channel=0&speed=1.1``. A
recording in a tar archive or a table is given by its bytes: ``a.tar#bytes=512,40000``.
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
"""Lists round their times: an end up to this much after the recording's end means that end, as in
Kaldi"""


@dataclass(frozen=True)
class Segment:
    """A recording or a part of it, with channel, rate, speed and gain."""

    file: str
    start: float = 0.0
    end: float = math.inf
    """in seconds of the file, whatever its `speed`"""
    channel: int | None = None
    """the channel to use, from 0; None: the mean of all"""
    rate: int | None = None
    """rate in Hz to resample to first, which limits its bandwidth"""
    speed: float = 1.0
    """factor of its speed, which also moves pitch and formants"""
    gain: float = 1.0
    """factor of its samples"""
    within: tuple[int, int] | None = None
    """offset and number of the recording's bytes in `file`; None: the whole file"""

    @classmethod
    def of(cls, path: str) -> Segment:
        """The segment of a path with or without ``#``; AudioError for an invalid notation."""
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
        """Whether it is an entire, unchanged file."""
        return self.is_as_recorded and self.start == 0 and self.end == math.inf

    @property
    def is_as_recorded(self) -> bool:
        """Whether channels, rate, speed and level are unchanged, and it is a file of its own."""
        is_played_so = self.channel is None and self.rate is None and self.speed == self.gain == 1
        return is_played_so and self.within is None

    @property
    def recording(self) -> str:
        """The file, and the recording's bytes if it is in another file."""
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
        """Range of the segment's samples in a recording; AudioError if it has no such segment."""
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
        """The rate in Hz at which samples of `sample_rate` have the segment's speed."""
        return round((self.rate or sample_rate) * self.speed)


def on_channel(path: str, channel: int) -> str:
    """A path with the given channel (from 0), which replaces any channel in it."""
    return str(replace(Segment.of(path), channel=channel))


def recording_ids(segments: Mapping[str, Segment]) -> dict[str, str]:
    """An id for each file, from segments by utterance id.

    It is the id of an utterance that is the whole file, else the file's name; equal names are
    numbered.
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
