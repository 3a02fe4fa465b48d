"""One side of a stereo call; a mono recording has only one side."""

from __future__ import annotations

from collections.abc import Sequence

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment, on_channel
from timbral.errors import AudioError, ConfigError

__all__ = ["check_channel", "side_of_call"]


def check_channel(channel: int | None, paths: Sequence[str]) -> None:
    """Raise ConfigError for a channel (from 1) above 1 if every recording has one channel only.

    Recordings that cannot be read are left to where they are read.
    """
    if channel is None or channel < 2 or not paths:
        return
    try:
        if any(read_header(path)[2] > 1 for path in paths):
            return
    except AudioError:
        return
    which = f"{paths[0]} has" if len(paths) == 1 else f"all {len(paths):,} recordings have"
    raise ConfigError(f"`channel` {channel}: {which} one channel only; leave this option out")


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
