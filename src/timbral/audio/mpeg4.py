"""Check that the boxes of an MPEG-4 file (m4a, mp4, mov, 3gp) are complete.

ISO 14496-12. FFmpeg reads only the first of two joined files, and some truncated ones, without an
error.
"""

from __future__ import annotations

import struct

from timbral.audio.byte_source import ByteSource
from timbral.errors import AudioError

__all__ = ["check_boxes", "is_mpeg4"]

MAX_BOXES = 1_000_000
"""boxes to read at most; a fragmented recording has two per fragment"""


def is_mpeg4(head: bytes) -> bool:
    """Whether a file with these first bytes is MPEG-4."""
    return head[4:8] == b"ftyp"


def check_boxes(source: ByteSource) -> None:
    """Raise AudioError for a file that ends within a box, or that is followed by another file."""
    position, name = 0, b""
    for _ in range(MAX_BOXES):
        head = source.read_at(position, 16)
        if len(head) < 8:
            break
        size, name = struct.unpack(">I4s", head[:8])
        if name == b"ftyp" and position > 0:
            reason = f"a second file is appended at byte {position:,}; split them into two files"
            raise AudioError(source.name, reason, "unsupported")
        if size == 1 and len(head) == 16:  # 64 bits of size follow
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:  # 0: up to the end
            return
        position += size
    if position > source.size and name in (b"mdat", b"moov"):
        missing = position - source.size
        what = f"the recording is truncated: {missing:,} of its bytes are missing"
        reason = f"{what}; fetch or copy it again"
        raise AudioError(source.name, reason, "truncated")
