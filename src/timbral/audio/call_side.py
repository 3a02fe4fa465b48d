"""One side of a stereo call; a mono recording has only one side."""

from __future__ import annotations

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment, on_channel
from timbral.errors import AudioError

__all__ = ["side_of_call"]


def side_of_call(path: str, channel: int) -> str:
    """The path of one channel (from 1) of a recording; a mono recording keeps its path.

    An unreadable file also gets the channel, so that reading it reports the reason.
    """
    if Segment.of(path).channel is None:
        try:
            if read_header(path)[2] == 1:
                return path
        except AudioError:
            pass
    return on_channel(path, channel - 1)
