"""Objects of Lhotse's manifests, as they are written: recordings, channels, further columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment
from timbral.data.lists.list_format import OTHER_OUTPUTS
from timbral.data.manifest import Utterance
from timbral.errors import DataError

__all__ = ["OWN_TEXTS", "Row", "channel_of", "check_expressible", "fields_of", "recording_of"]

Row = dict[str, Any]
OWN_TEXTS = ("gender", "language", "text")
"""further columns with fields in a supervision"""


def recording_of(name: str, file: str) -> Row:
    """A recording, of a file's header; AudioError when it cannot be read."""
    rate, samples, channels = read_header(file)
    source = {"type": "file", "channels": list(range(channels)), "source": file}
    return {
        "id": name,
        "sources": [source],
        "sampling_rate": rate,
        "num_samples": samples,
        "duration": samples / rate,
        "channel_ids": source["channels"],
    }


def fields_of(row: Utterance) -> Row:
    """Fields that hold the further columns: those of a supervision where it has them as text, else
    ``custom`` ones, beside session and corpus."""
    known = {name: value for name, value in row.further.items() if value is not None}
    own = {name: known.pop(name) for name in OWN_TEXTS if isinstance(known.get(name), str)}
    return {**own, "custom": {"session": row.session, "corpus": row.corpus, **known}}


def channel_of(segment: Segment, channels: list[int]) -> int | list[int]:
    """The channel of a segment, or all of its recording where none is named."""
    if segment.channel is not None:
        return segment.channel
    return channels if len(channels) > 1 else 0


def check_expressible(rows: Iterable[Utterance]) -> None:
    """DataError for what would need a recording of its own, with a transform."""
    for row in rows:
        segment = Segment.of(row.path)
        changed = segment.rate is not None or segment.speed != 1 or segment.gain != 1
        if changed or segment.within is not None:
            raise DataError(
                f"{row.path}: a list in Lhotse's format cannot express another rate, speed or "
                f"level, or a recording inside another file; {OTHER_OUTPUTS}"
            )
