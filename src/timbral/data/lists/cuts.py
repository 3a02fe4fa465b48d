"""Lhotse's CutSets as one file, ``cuts.jsonl`` or ``cuts.jsonl.gz``: a cut for each utterance."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from timbral.audio.segments import Segment, recording_ids
from timbral.data.lists.lhotse_fields import (
    Row,
    channel_of,
    check_expressible,
    fields_of,
    recording_of,
)
from timbral.data.lists.list_format import Failure, ListFormat, failure_of
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError
from timbral.io.files import atomic_write
from timbral.io.outputs import FileKind

__all__ = ["CUTS"]

KEYS = ("id", "start", "duration", "channel", "supervisions", "recording", "custom", "type")


def _write(manifest: Manifest, output: Path) -> Sequence[Failure]:
    """Write the cuts, compressed where the file ends in .gz.

    A cut holds its recording, whose rate and length come from the file's header, and one
    supervision with the speaker; session and further columns are custom fields of the cut, or the
    supervision's gender, language and text. Files without a readable header are failures.
    """
    check_expressible(manifest)
    failures: list[Failure] = []
    with atomic_write(output) as temporary, _opened(temporary, output.suffix == ".gz") as file:
        for cut in _cuts(manifest, failures):
            file.write(json.dumps(cut, ensure_ascii=False).encode() + b"\n")
    return failures


def _opened(path: Path, compressed: bool) -> IO[bytes]:
    if compressed:
        return gzip.GzipFile(path, "wb", mtime=0)  # type: ignore[return-value]
    return open(path, "wb")


def _cuts(manifest: Manifest, failures: list[Failure]) -> Iterator[Row]:
    ids = recording_ids({row.utterance: Segment.of(row.path) for row in manifest})
    last: tuple[str, Row] = "", {}
    for row in manifest:
        file = Segment.of(row.path).file
        try:
            if last[0] != file:
                last = file, recording_of(ids[file], file)
            yield _cut(row, last[1])
        except AudioError as error:
            failures.append(failure_of(row, error))


def _cut(row: Utterance, recording: Row) -> Row:
    segment, rate = Segment.of(row.path), recording["sampling_rate"]
    inside = segment.samples(recording["num_samples"], rate)
    channel = channel_of(segment, recording["channel_ids"])
    duration = (inside.stop - inside.start) / rate
    fields = fields_of(row)
    custom = fields.pop("custom")
    supervision = {
        "id": row.utterance,
        "recording_id": recording["id"],
        "start": 0.0,
        "duration": duration,
        "channel": channel,
        "speaker": row.speaker,
        **fields,
    }
    return {
        "id": row.utterance,
        "start": inside.start / rate,
        "duration": duration,
        "channel": channel,
        "supervisions": [supervision],
        "recording": recording,
        "custom": custom,
        "type": "MultiCut" if isinstance(channel, list) else "MonoCut",
    }


CUTS = ListFormat(_write, is_text=True, kind=FileKind("a CutSet", frozenset(KEYS)))
