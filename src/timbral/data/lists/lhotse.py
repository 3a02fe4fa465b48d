"""Lhotse's manifests of recordings and supervisions, read and written without Lhotse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from timbral.audio.segments import Segment, recording_ids
from timbral.data.corpora.corpus import Corpus
from timbral.data.lists.lhotse_fields import (
    Row,
    channel_of,
    check_expressible,
    fields_of,
    recording_of,
)
from timbral.data.lists.lhotse_rows import scan_lhotse
from timbral.data.lists.list_format import Failure, ListFormat, failure_of
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError
from timbral.io.files import atomic_write

__all__ = ["LHOTSE"]


def _write(manifest: Manifest, folder: Path) -> Sequence[Failure]:
    """Write ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``.

    Rates and lengths come from the files' headers; files without a readable one are failures.
    """
    rows = list(manifest)
    check_expressible(rows)
    ids = recording_ids({row.utterance: Segment.of(row.path) for row in rows})
    recordings: dict[str, Row] = {}
    supervisions: list[Row] = []
    failures: list[Failure] = []
    for row in rows:
        segment = Segment.of(row.path)
        try:
            recording = recordings.get(segment.file) or recording_of(
                ids[segment.file], segment.file
            )
            inside = segment.samples(recording["num_samples"], recording["sampling_rate"])
        except AudioError as error:
            failures.append(failure_of(row, error))
        else:
            recordings[segment.file] = recording
            supervisions.append(_supervision(row, recording, inside))
    _write_rows(folder / "recordings.jsonl.gz", list(recordings.values()))
    _write_rows(folder / "supervisions.jsonl.gz", supervisions)
    return failures


def _supervision(row: Utterance, recording: Row, inside: slice) -> Row:
    rate, channels = recording["sampling_rate"], recording["channel_ids"]
    return {
        "id": row.utterance,
        "recording_id": recording["id"],
        "start": inside.start / rate,
        "duration": (inside.stop - inside.start) / rate,
        "channel": channel_of(Segment.of(row.path), channels),
        "speaker": row.speaker,
        **fields_of(row),
    }


def _write_rows(path: Path, rows: list[Row]) -> None:
    with atomic_write(path) as temporary, gzip.GzipFile(temporary, "wb", mtime=0) as file:
        file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


LAYOUT = Corpus(scan_lhotse, ("recordings.jsonl[.gz]", "supervisions.jsonl[.gz]"))
LHOTSE = ListFormat(_write, layout=LAYOUT)
