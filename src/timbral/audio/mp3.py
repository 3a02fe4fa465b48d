"""MPEG audio (MP3): read frame by frame, as the length of a file cannot be known otherwise.

    [ID3v2] [Xing or Info] frame frame frame … [ID3v1]  [ID3v2] [Xing] frame … (a file joined to it)

A frame is a header of four bytes, side information and main data, and becomes a fixed number of
samples. A file may say how many frames it has (the Xing frame of LAME and FFmpeg); when it does
not, libmpg123 estimates from the first frame's bit rate, and stops there. Files that were cut or
joined state what their first stream had. ISO 11172-3 and 13818-3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

__all__ = ["Mp3Stream", "behind_id3", "is_mp3", "is_mpeg", "mp3_streams"]

SYNC = b"\xff"
RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""sample rates in Hz, by the version bits: MPEG 1, 2, 2.5"""
MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
LAYER_3 = 1
XING_FLAG_FRAMES = 1
DECODER_DELAY = 529
"""delay of a decoder in samples, which LAME's numbers do not include"""
WARM_UP_FRAMES = 2
"""frames before a segment, after which the filters are in the same state as in the whole file"""
RESERVOIR_BYTES = 511
"""bytes of main data in earlier frames that a frame may need"""


@dataclass(frozen=True)
class Frame:
    """The header of a layer 3 frame."""

    size: int
    """bytes, header included"""
    rate: int
    samples: int
    mono: bool
    side_info: slice
    """range of the frame's bytes"""
    tag_offset: int
    """offset of the tag of a Xing or Info frame"""

    @property
    def stream(self) -> int:
        """header fields that are constant within a stream, as one number"""
        return self.rate * 2 + self.mono


@lru_cache(maxsize=4_096)
def _frame(header: bytes) -> Frame | None:
    """The frame with this header; None unless it is of layer 3.

    Also None for a free bit rate, which does not state the frame's size.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer, unprotected = header[1] >> 3 & 3, header[1] >> 1 & 3, header[1] & 1
    bits, rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version not in RATES or layer != LAYER_3 or bits in (0, 15) or rate_index == 3:
        return None
    rate = RATES[version][rate_index]
    kbits = (MPEG1_KBITS if version == 3 else MPEG2_KBITS)[bits]
    samples = 1_152 if version == 3 else 576
    size = samples // 8 * kbits * 1000 // rate + (header[2] >> 1 & 1)
    mono = header[3] >> 6 == 3
    start = 4 if unprotected else 6
    length = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(size, rate, samples, mono, slice(start, start + length), 4 + length)


def is_mp3(head: bytes) -> bool:
    """Whether the first bytes after an ID3 tag are the header of a frame."""
    return _frame(head[:4]) is not None


def is_mpeg(head: bytes) -> bool:
    """Whether the first bytes look like a frame of any layer, valid or not."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def behind_id3(read_at: Callable[[int, int], bytes], position: int = 0) -> int:
    """The end of the ID3 tags that begin at `position`; `read_at` is (offset, count) -> bytes."""
    while (head := read_at(position, 10)).startswith(b"ID3") and len(head) == 10:
        footer = 10 if head[5] & 0x10 else 0
        position += 10 + footer + _synchsafe(head[6:])
    return position


def _synchsafe(size: bytes) -> int:
    """A number with seven bits per byte, which thus never contains a sync word."""
    value = 0
    for byte in size:
        value = value << 7 | byte
    return value


@dataclass
class Mp3Stream:
    """One stream of a file: all of an ordinary file, or one of several that were joined."""

    content: bytes
    frame: Frame
    """the first"""
    stated_frames: int | None = None
    skip_start: int = 0
    """samples of delay by encoder and decoder"""
    skip_end: int = 0
    starts: list[int] = field(default_factory=list)
    """offsets of the valid frames"""
    end: int = 0
    """end of the last frame"""
    has_gaps: bool = False
    """whether there are gaps between frames"""

    def add(self, start: int, end: int) -> None:
        """Append a frame."""
        if self.starts and start != self.end:
            self.has_gaps = True
        self.starts.append(start)
        self.end = end

    @property
    def sample_rate(self) -> int:
        return self.frame.rate

    @property
    def channels(self) -> int:
        return 1 if self.frame.mono else 2

    @property
    def num_samples(self) -> int:
        """samples in the stream"""
        is_complete = self.stated_frames is None or len(self.starts) >= self.stated_frames
        skipped = self.skip_start + (self.skip_end if is_complete else 0)
        return max(0, len(self.starts) * self.frame.samples - skipped)

    @property
    def stated_samples(self) -> int:
        """samples by its Xing frame, at least `num_samples`"""
        frames = self.stated_frames or 0
        skipped = self.skip_start + self.skip_end
        return max(self.num_samples, frames * self.frame.samples - skipped)

    def cut(self, start: int, stop: int) -> tuple[bytes, int]:
        """A file with the samples from `start` to `stop`, and how many samples precede them in it.

        It begins with a Xing frame that states how many frames follow, a silent frame, which
        libmpg123 skips for its delay, and some frames before the cut. The first of these may need
        main data of earlier frames: their side information is zeroed, which makes them silent but
        keeps their main data for later frames.
        """
        size = self.frame.samples
        start, stop = start + self.skip_start, stop + self.skip_start
        last = min(len(self.starts), -(-stop // size) + 1)
        first = self._first_needed(min(start // size, len(self.starts) - 1))
        frames, reservoir, row = [], 0, first
        while row < last and reservoir < RESERVOIR_BYTES:
            frames.append(self._with_reservoir(row, reservoir))
            reservoir += self._main_data_bytes(row)
            row += 1
        if self.has_gaps:
            frames += map(self._bytes, range(row, last))
        elif row < last:
            end = self.end if last == len(self.starts) else self.starts[last]
            frames.append(self.content[self.starts[row] : end])
        xing = b"Xing" + struct.pack(">II", XING_FLAG_FRAMES, last - first + 1)
        head = self._silent_frame(xing) + self._silent_frame()
        return head + b"".join(frames), start - first * size + size - DECODER_DELAY

    def _first_needed(self, row: int) -> int:
        first, reservoir = max(0, row - WARM_UP_FRAMES), 0
        while first > 0 and reservoir < RESERVOIR_BYTES:
            first -= 1
            reservoir += self._main_data_bytes(first)
        return first

    def _bytes(self, row: int) -> bytes:
        start = self.starts[row]
        frame = _frame(self.content[start : start + 4])
        assert frame is not None, "only frames are listed"
        return self.content[start : start + frame.size]

    def _main_data_bytes(self, row: int) -> int:
        return len(self._bytes(row)) - int(self.frame.side_info.stop)

    def _with_reservoir(self, row: int, available: int) -> bytes:
        """A frame, made silent if it needs more main data before it than `available`.

        It still points back as far as possible, because libmpg123 keeps the data that frames point
        to.
        """
        content = self._bytes(row)
        side_info = self.frame.side_info
        shift = 7 if self.frame.samples == 1_152 else 8  # nine bits in MPEG 1, eight in MPEG 2
        needed = int.from_bytes(content[side_info.start : side_info.start + 2]) >> shift
        if available >= needed:
            return content
        pointed = (available << shift).to_bytes(2)
        silent = pointed.ljust(side_info.stop - side_info.start, b"\0")
        return content[: side_info.start] + silent + content[side_info.stop :]

    def _silent_frame(self, body: bytes = b"") -> bytes:
        """A silent frame, with `body` in place of main data."""
        start = self.starts[0]
        head = bytearray(self.content[start : start + 4])
        head[1] |= 1  # no check sum
        head[2] = head[2] & 0x0D | 8 << 4  # a bit rate with room for `body`, not padded
        frame = _frame(bytes(head))
        assert frame is not None, "a header of the same version and rate"
        return (bytes(head) + bytes(frame.side_info.stop - 4) + body).ljust(frame.size, b"\0")


def mp3_streams(content: bytes) -> list[Mp3Stream]:
    """The streams of a file; empty if no frame is found."""
    streams: list[Mp3Stream] = []
    position = behind_id3(lambda offset, count: content[offset : offset + count])
    size, tags = len(content), _tag_positions(content)
    stream: Mp3Stream | None = None  # the current stream
    while position + 4 <= size:
        frame = _frame(content[position : position + 4])
        if frame is None or (stream is not None and frame.stream != stream.frame.stream):
            following = _next_frame(content, position)
            if following == position or content.startswith(b"ID3", position):
                stream = None  # another begins
            position = following
            continue
        end = position + frame.size
        if end > size:
            break
        if position + frame.tag_offset in tags:
            stream = Mp3Stream(content, frame, *_xing(content, position, frame))
            streams.append(stream)
        elif stream is None:
            stream = Mp3Stream(content, frame)
            streams.append(stream)
            stream.add(position, end)
        else:
            stream.add(position, end)
        position = end
    return [stream for stream in streams if stream.starts]


def _tag_positions(content: bytes) -> set[int]:
    """Possible offsets of the tag of a Xing or Info frame."""
    return {match.start() for match in re.finditer(b"Xing|Info", content)}


def _next_frame(content: bytes, position: int) -> int:
    """The next frame that is followed by another of its stream, or by the end; else the end."""
    position = behind_id3(lambda offset, count: content[offset : offset + count], position)
    while (position := content.find(SYNC, position)) >= 0:
        frame = _frame(content[position : position + 4])
        if frame is not None:
            end = position + frame.size
            following = _frame(content[end : end + 4])
            if end == len(content) or (following and following.stream == frame.stream):
                return position
        position += 1
    return len(content)


def _xing(content: bytes, position: int, frame: Frame) -> tuple[int | None, int, int]:
    """Content of a Xing or Info frame: frames, samples to skip at the start and at the end."""
    tag = position + frame.tag_offset
    fields = content[tag + 4 : tag + 12].ljust(8, b"\0")
    flags, frames = struct.unpack(">II", fields)
    stated = frames if flags & XING_FLAG_FRAMES else None
    # after the flags: frames, bytes, a table of contents, a quality
    sizes = (4, 4, 100, 4)
    lame = tag + 8 + sum(size for bit, size in enumerate(sizes) if flags >> bit & 1)
    delays = content[lame + 21 : lame + 24]
    if not content[lame : lame + 4].strip(b"\0") or len(delays) < 3:
        return stated, 0, 0
    start = (delays[0] << 4 | delays[1] >> 4) + DECODER_DELAY
    end = (delays[1] & 15) << 8 | delays[2]
    return stated, start, max(0, end - DECODER_DELAY)
