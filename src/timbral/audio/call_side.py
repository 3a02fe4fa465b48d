"""One side of a stereo call; a recording with one channel has but one side."""

from __future__ import annotations

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment, on_channel
from timbral.errors import AudioError

__all__ = ["side_of_call"]


def side_of_call(path: str, channel: int) -> str:
    """The path of one channel of a recording, from 1; a mono recording is taken as it is.

    What cannot be read gets the channel, too: it fails where its reader says why.
    """
    if Segment.of(path).channel is None:
        try:
            if read_header(path)[2] == 1:
                return path
        except AudioError:
            pass
    return on_channel(path, channel - 1)
