"""Short MP3 clips of many recordings, up to a total size."""

from __future__ import annotations

import base64
import io
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from types import MappingProxyType

import numpy as np
import soundfile

from timbral.audio.decode import SAMPLE_RATE, Wave, failures_of
from timbral.audio.preprocessing import load
from timbral.audio.segments import Segment
from timbral.errors import AudioError
from timbral.io.cores import usable_cores

__all__ = ["Clips", "encode_clip", "encode_clips", "load_start", "path_around", "spread_order"]

THREADS = min(8, usable_cores())
CLIPS_AHEAD = 4 * THREADS
"""clips that are encoded before it is known whether they fit"""
MP3_COMPRESSION = 0.5
"""libsndfile's scale 0 to 1; about 35 kbit/s for speech at 16 kHz"""
RESAMPLING_MARGIN = 0.5
"""seconds read beyond a clip, so that its last samples are those of the whole recording"""


def path_around(path: str, moment: float, seconds: float) -> str:
    """The segment of a recording that starts `seconds` / 2 before a moment.

    Both are in seconds of the recording as it is played.
    """
    recording = Segment.of(path)
    start = recording.start + max(0.0, moment - seconds / 2) * recording.speed
    return str(replace(recording, start=start))


@dataclass(frozen=True)
class Clips:
    """The clips of N recordings."""

    addresses: list[str]
    """(N,): base64 MP3, or what `keep` returned for it; "" for a recording without a clip"""
    failures: dict[int, str]
    """why recordings could not be read, by index"""


def encode_clips(
    paths: Sequence[str],
    speakers: Sequence[str],
    refused: Mapping[int, str] = MappingProxyType({}),
    *,
    seconds: float,
    max_bytes: float,
    on_clip: Callable[[int], None],
    first: Sequence[int] = (),
    keep: Callable[[str], str] = str,
) -> Clips:
    """Encode the first `seconds` of recordings as base64 MP3, up to `max_bytes` in all.

    The same input gives the same bytes.

    Args:
        paths: the recordings (N,)
        speakers: their speakers (N,), who take turns, each with recordings spread evenly over its
            own, until `max_bytes` are used
        refused: why recordings must not be read, by index; they count as failures
        seconds: length of a clip
        max_bytes: limit on all clips, as base64
        on_clip: called with the number of recordings tried so far
        first: indices of recordings to encode before all others
        keep: stores a clip, and returns its address
    """
    wanted = dict.fromkeys(row for row in first if row not in refused)
    rows_of = _rows_by_speaker(speakers)
    excluded = refused.keys() | wanted.keys()
    queues = [deque(row for row in rows if row not in excluded) for rows in rows_of]
    encoder = _Encoder(paths, [*wanted], queues, seconds)
    encoder.failures |= refused
    clips, num_clips, used = [""] * len(paths), 0, 0
    try:
        queues = [queue for queue in queues if queue]
        early = [deque([row]) for row in wanted]
        while early or queues:
            for queue in early or queues:
                index, clip = encoder.next_readable(queue)
                used += len(clip)
                if used > max_bytes:
                    return Clips(clips, encoder.failures)
                if clip:
                    clips[index] = keep(clip)
                    num_clips += 1
                on_clip(num_clips + len(encoder.failures))
            if early:
                early = []
            else:
                queues = [queue for queue in queues if queue]
        return Clips(clips, encoder.failures)
    finally:
        encoder.pool.shutdown(cancel_futures=True)


class _Encoder:
    """Encodes clips in threads, a few ahead, in the order in which speakers take turns."""

    def __init__(
        self,
        paths: Sequence[str],
        first: Sequence[int],
        queues: Iterable[deque[int]],
        seconds: float,
    ) -> None:
        turns = chain(first, chain.from_iterable(zip_longest(*queues, fillvalue=-1)))
        self.upcoming = iter([index for index in turns if index >= 0])
        self.paths = paths
        self.seconds = seconds
        self.pool = ThreadPoolExecutor(THREADS)
        self.running: dict[int, Future[str]] = {}
        self.failures: dict[int, str] = {}

    def next_readable(self, queue: deque[int]) -> tuple[int, str]:
        """Index and clip of the first readable recording in `queue`; (-1, "") if there is none.

        It and those before it are removed from the queue.
        """
        while queue:
            index = queue.popleft()
            try:
                return index, self._result(index)
            except AudioError as error:
                self.failures[index] = error.reason
        return -1, ""

    def _result(self, index: int) -> str:
        while index not in self.running or len(self.running) < CLIPS_AHEAD:
            following = next(self.upcoming, None)
            if following is None:
                break
            path = self.paths[following]
            self.running[following] = self.pool.submit(encode_clip, path, self.seconds)
        return self.running.pop(index).result()


def _rows_by_speaker(speakers: Sequence[str]) -> list[list[int]]:
    """The rows of each speaker, speakers by name, in the order of `spread_order`."""
    rows_of: dict[str, list[int]] = {}
    for row, speaker in enumerate(speakers):
        rows_of.setdefault(speaker, []).append(row)
    return [[rows[rank] for rank in spread_order(len(rows))] for _, rows in sorted(rows_of.items())]


def spread_order(count: int) -> list[int]:
    """0 … count - 1 in an order whose first n are evenly spaced, for any n (bit reversal)."""
    bits = max(count - 1, 0).bit_length()
    reversed_bits = (int(f"{rank:0{bits}b}"[::-1], 2) for rank in range(1 << bits))
    return [rank for rank in reversed_bits if rank < count]


def encode_clip(path: str, seconds: float) -> str:
    """The start of a recording as base64 MP3; raises the AudioErrors of `load`."""
    wave = load_start(path, seconds)[: max(1, round(seconds * SAMPLE_RATE))]
    if wave.size == 0:
        raise AudioError(path, "the recording is too short", "too-short")
    memory = io.BytesIO()
    clipped = np.clip(wave, -1.0, 1.0)
    with failures_of(path):
        soundfile.write(
            memory, clipped, SAMPLE_RATE, format="MP3", compression_level=MP3_COMPRESSION
        )
    return base64.b64encode(memory.getvalue()).decode("ascii")


def load_start(path: str, seconds: float) -> Wave:
    """At least the first `seconds` of a recording, without decoding all of a long one."""
    recording = Segment.of(path)
    read = (seconds + RESAMPLING_MARGIN) * recording.speed
    end = min(recording.end, recording.start + read)
    try:
        return load(str(replace(recording, end=end)))
    except AudioError:  # the recording is shorter, unreadable, or begins with silence
        return load(path)
