"""The actual and the stated length of FLAC files (RFC 9639).

The actual length follows from the header of the last frame. Encoders that wrote into a pipe omit
the stated one, and libsndfile does not read such files.
"""

from __future__ import annotations

from timbral.audio.byte_source import ByteSource

__all__ = ["MAGIC", "flac_lengths", "with_length"]

MAGIC = b"fLaC"

STATED = slice(21, 26)
"""bytes of the file with the stated length: the lower four bits of the first, and all others"""
BLOCK_SAMPLES = {
    1: 192,
    **{2 + n: 576 << n for n in range(4)},
    **{8 + n: 256 << n for n in range(8)},
}
"""samples of a frame, by the code in its header; 6 and 7 say that a number follows"""
CRC_POLYNOMIAL = 0x107
TAIL_BYTES = 32_768
"""bytes at the end in which the last frame begins, unless it is larger"""


def flac_lengths(source: ByteSource) -> tuple[int, int]:
    """Samples up to the end of the last frame, and samples that the file states; 0 if unknown."""
    stated = int.from_bytes(source.read_at(STATED.start, 5)) & (1 << 36) - 1
    first = _behind_metadata(source)
    kind = source.read_at(first, 4)
    size = TAIL_BYTES if stated else source.size
    tail = source.read_at(max(first, source.size - size), size)
    return _last_sample(kind, tail, source.head), stated


def with_length(source: ByteSource, samples: int) -> bytes:
    """The content of a file with its length filled in."""
    content = bytearray(source.content())
    content[STATED] = (content[STATED.start] >> 4 << 36 | samples).to_bytes(5)
    return bytes(content)


def _last_sample(kind: bytes, tail: bytes, head: bytes) -> int:
    """The end (in samples) of the last frame in `tail` of the kind of the header `kind`; else 0."""
    sync = kind[:2]
    if sync not in (b"\xff\xf8", b"\xff\xf9") or len(kind) < 4:
        return 0
    fixed_block = int.from_bytes(head[8:10]) if sync == b"\xff\xf8" else 1
    position = len(tail)
    while (position := tail.rfind(sync, 0, position)) >= 0:
        header = _read_header(tail[position : position + 16])
        if header and tail[position + 3] & 15 == kind[3] & 15:
            number, block = header
            return number * fixed_block + block
        position += 1  # the two bytes may overlap an earlier pair
    return 0


def _behind_metadata(source: ByteSource) -> int:
    position = 4
    while len(head := source.read_at(position, 4)) == 4:
        position += 4 + int.from_bytes(head[1:])
        if head[0] & 0x80:
            break
    return position


def _read_header(head: bytes) -> tuple[int, int] | None:
    """(number of the frame or of its first sample, number of samples); None if it is no header."""
    if len(head) < 6:
        return None
    code, rate_code = head[2] >> 4, head[2] & 15
    extra = 7 - (head[4] ^ 0xFF).bit_length() if head[4] >= 0x80 else 0
    number = head[4] & (0x7F if not extra else 0x3F >> extra)
    end = 5 + extra
    for byte in head[5:end]:
        number = number << 6 | byte & 0x3F
    if code in (6, 7):
        block = int.from_bytes(head[end : end + code - 5]) + 1
        end += code - 5
    else:
        block = BLOCK_SAMPLES.get(code, 0)
    end += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    is_complete = block > 0 and end < len(head)
    return (number, block) if is_complete and _crc(head[:end]) == head[end] else None


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value << 1 ^ (CRC_POLYNOMIAL if value & 0x80 else 0)
    return value & 0xFF


CRC_OF_BYTES = tuple(map(_crc_of_byte, range(256)))


def _crc(content: bytes) -> int:
    value = 0
    for byte in content:
        value = CRC_OF_BYTES[value ^ byte]
    return value
