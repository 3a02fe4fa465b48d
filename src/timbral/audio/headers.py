"""Read the headers of PCM containers: offset and size of the samples.

If a header states more than the file contains, libsndfile reads what is there; if it states 0, as
that of a killed recorder does, libsndfile reads nothing. It reports neither, so the headers are
read here as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from dataclasses import dataclass

from timbral.audio.byte_source import ByteSource

__all__ = ["Data", "behind_chunks", "closed", "read_data"]

WAVE_FORMATS_OF_SAMPLES = {0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE}
"""PCM, floats, A-law, µ-law, extensible: formats without blocks"""
MAX_CHUNKS = 10_000
"""chunks to read at most, because zeros look like empty chunks"""
MAX_CHANNELS = 1024
"""of libsndfile; a header with more is damaged"""
GSM, GSM_BLOCK_BYTES = 0x0031, 65
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
W64_CHUNK = 24
"""bytes of a chunk's GUID and size, which are included in that size"""


@dataclass(frozen=True)
class Data:
    """The part of a container with the samples."""

    start: int
    """offset of its first byte"""
    size: int | None
    """in bytes; None if the header does not state it"""
    size_offset: int
    """offset of the size"""
    size_format: str
    """its format for `struct`"""
    size_extra: int = 0
    """bytes that it counts besides the samples"""
    num_samples: int = 0
    """per channel, from the fact chunk of codecs with blocks; 0 if there is none"""
    block_samples: int = 0
    """samples per channel in a block of the codec"""
    pcm_channels: int = 0
    """channels of 16-bit PCM in a wav file; 0 for anything else"""
    pcm_rate: int = 0
    """its sample rate in Hz"""


def read_data(source: ByteSource) -> Data | None:
    """The stated position of the samples in a PCM container; None for other or damaged files."""
    for magic, read in READERS.items():
        if source.head.startswith(magic):
            try:
                return read(source)
            except (struct.error, ValueError, LookupError, OverflowError):
                return None
    return None


def closed(source: ByteSource, data: Data) -> bytes:
    """The content with the size filled in that its recorder did not write."""
    content = bytearray(source.content())
    size = source.size - data.start + data.size_extra
    largest = 256 ** struct.calcsize(data.size_format) - 1
    struct.pack_into(data.size_format, content, data.size_offset, min(size, largest))
    return bytes(content)


def behind_chunks(source: ByteSource, position: int, last: Container[bytes] = ()) -> int:
    """The offset behind the chunks of a wav file from `position` on, or of the first in `last`."""
    for _ in range(MAX_CHUNKS):
        head = source.read_at(position, 8)
        name = head[:4]
        if len(head) < 8 or name in last or not name.isascii() or not name.decode().isprintable():
            break
        (size,) = struct.unpack("<I", head[4:])
        position += 8 + size + size % 2
    return position


def _chunks(source: ByteSource, position: int, size_format: str) -> dict[bytes, tuple[int, int]]:
    """(offset, size) of the chunks from `position` on, by name, up to the one with the samples."""
    chunks: dict[bytes, tuple[int, int]] = {}
    header = 4 + struct.calcsize(size_format)
    for _ in range(MAX_CHUNKS):
        head = source.read_at(position, header)
        if len(head) < header:
            break
        name = head[:4]
        (size,) = struct.unpack(size_format, head[4:])
        if name == b"fmt " and name in chunks:  # libsndfile refuses such a file
            break
        chunks[name] = (position + header, size)
        if name in (b"data", b"SSND") or size < 0:
            break
        position += header + size + (size % 2 if header == 8 else 0)
    return chunks


def _wave(source: ByteSource) -> Data | None:
    """RIFF and RF64 (EBU Tech 3306)."""
    chunks = _chunks(source, 12, "<I")
    if b"data" not in chunks or b"fmt " not in chunks:
        return None
    start, stated = chunks[b"data"]
    if b"ds64" in chunks and stated == 0xFFFFFFFF:
        offset = chunks[b"ds64"][0] + 8
        (stated,) = struct.unpack("<Q", source.read_at(offset, 8))
        size = stated or None
        return Data(start, size, offset, "<Q")
    size = None if _is_placeholder(stated) else stated
    if stated == 0 and _only_chunks(source, start):
        size = 0
    there = source.size - start
    offset, length = chunks[b"fmt "]
    format = source.read_at(offset, min(length, 20))
    counts = _counted(source, chunks, format, there if size is None else min(size, there))
    ordinary = source.head[8:12] == b"WAVE" and b"ds64" not in chunks
    pcm = _pcm_16(format) if ordinary else ()
    return Data(start, size, start - 4, "<I", 0, *counts, *pcm)


def _pcm_16(format: bytes) -> tuple[int, int]:
    """Channels and sample rate of 16-bit PCM, by the fmt chunk; zeros for anything else."""
    if len(format) < 16:
        return 0, 0
    tag, channels, rate, block_bytes, bits = struct.unpack("<HHI4xHH", format[:16])
    plain = tag == 1 and bits == 16 and block_bytes == 2 * channels
    return (channels, rate) if plain and channels <= MAX_CHANNELS else (0, 0)


def _counted(
    source: ByteSource, chunks: dict[bytes, tuple[int, int]], format: bytes, num_bytes: int
) -> tuple[int, int]:
    """Samples by the fact chunk, and samples per block; 0 for formats without blocks.

    GSM without a fact chunk has the samples of its complete blocks: after an odd number of them,
    libsndfile would decode the padding byte of the chunk as another block, as noise.
    """
    if len(format) < 16:
        return 0, 0
    tag, block_bytes, bits = struct.unpack("<H10xHH", format[:16])
    if tag in WAVE_FORMATS_OF_SAMPLES:
        return 0, 0
    stated = int.from_bytes(format[18:], "little")  # not all codecs state it
    block_samples = stated or 8 * block_bytes // max(bits, 1)
    num_samples = 0
    if b"fact" in chunks:
        (num_samples,) = struct.unpack("<I", source.read_at(chunks[b"fact"][0], 4))
    if tag == GSM:
        blocks = num_bytes // GSM_BLOCK_BYTES
        num_samples = min(num_samples or blocks * block_samples, blocks * block_samples)
    return num_samples, block_samples


def _is_placeholder(stated: int) -> bool:
    """Whether a size is one that sox, FFmpeg, arecord or killed programs write for an unknown size.

    These are 2 and 4 GiB, or a little less.
    """
    return stated == 0 or 0x7FFF0000 <= stated <= 0x80000000 or stated >= 0xFFFF0000


def _only_chunks(source: ByteSource, position: int) -> bool:
    """Whether complete chunks follow up to the end, so that the data chunk before them is empty."""
    return behind_chunks(source, position) in (source.size, source.size + 1)


def _aiff(source: ByteSource) -> Data | None:
    """AIFF and AIFF-C; the samples begin after an offset and a block size."""
    chunks = _chunks(source, 12, ">I")
    if b"SSND" not in chunks:
        return None
    start, stated = chunks[b"SSND"]
    size = None if stated <= 8 or _is_placeholder(stated) else stated - 8
    return Data(start + 8, size, start - 4, ">I", size_extra=8)


def _au(source: ByteSource) -> Data:
    start, stated = struct.unpack(">4xII", source.head[:12])
    return Data(start, None if _is_placeholder(stated) else stated, 8, ">I")


def _caf(source: ByteSource) -> Data | None:
    """Apple's Core Audio Format; a size of -1 is unknown. Samples follow an edit count."""
    chunks = _chunks(source, 8, ">q")
    if b"data" not in chunks:
        return None
    start, stated = chunks[b"data"]
    return Data(start + 4, stated - 4 if stated > 4 else None, start - 8, ">q", size_extra=4)


def _w64(source: ByteSource) -> Data | None:
    """Sony's Wave64: chunks begin at multiples of 8."""
    position = 40
    for _ in range(MAX_CHUNKS):
        head = source.read_at(position, W64_CHUNK)
        if len(head) < W64_CHUNK:
            break
        (stated,) = struct.unpack("<Q", head[16:])
        if head[:16] == W64_DATA:
            size = stated - W64_CHUNK if stated > W64_CHUNK else None
            return Data(position + W64_CHUNK, size, position + 16, "<Q", size_extra=W64_CHUNK)
        if stated < W64_CHUNK:
            return None
        position += -(-stated // 8) * 8
    return None


def _nist(source: ByteSource) -> Data | None:
    """NIST SPHERE: a header of text lines; only uncompressed files state their size."""
    lines = source.head[:1024].split(b"end_head")[0].splitlines()
    start = int(lines[1])
    fields = dict(line.split(b" ", 2)[::2] for line in lines[2:] if line.count(b" ") >= 2)
    if b"," in fields.get(b"sample_coding", b""):
        return None
    numbers = (b"sample_count", b"sample_n_bytes", b"channel_count")
    count, width, channels = (int(fields[name]) for name in numbers)
    return Data(start, count * width * channels or None, 0, "")


def _voc(source: ByteSource) -> Data | None:
    """Creative's voice file of one block of samples, types 1 and 9; others may have many blocks."""
    (offset,) = struct.unpack("<H", source.head[20:22])
    kind, *bytes_of_size = source.head[offset : offset + 4]
    parameters = {1: 2, 9: 12}.get(kind)
    if parameters is None:
        return None
    start = offset + 4 + parameters
    size = int.from_bytes(bytes(bytes_of_size), "little") - parameters
    is_last = source.read_at(start + size, 1) in (b"", b"\0")
    return Data(start, size, 0, "") if size > 0 and is_last else None


READERS: dict[bytes, Callable[[ByteSource], Data | None]] = {
    b"RIFF": _wave,
    b"RF64": _wave,
    b"FORM": _aiff,
    b".snd": _au,
    b"caff": _caf,
    b"riff": _w64,
    b"NIST_1A": _nist,
    b"Creative Voice File": _voc,
}
"""readers by the first bytes of a file"""
