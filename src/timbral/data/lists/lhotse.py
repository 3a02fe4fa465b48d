"""Lhotse's manifests of recordings and supervisions, read and written without Lhotse."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment, recording_ids
from timbral.data.corpora.corpus import Corpus
from timbral.data.lists.list_format import ListFormat
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError, DataError
from timbral.io.files import atomic_write, write_jsonl

__all__ = ["LHOTSE"]

TOLERANCE_SECONDS = 0.05
"""a supervision that begins and ends this near to its recording's ends covers it"""

Row = dict[str, Any]


def _scan(root: Path) -> Iterator[Utterance]:
    """A folder with ``*recordings*.jsonl[.gz]`` and ``*supervisions*.jsonl[.gz]``.

    The session is ``custom.session`` when it is there. A supervision may be a segment of its
    recording. A recording of several files is refused, and so is one of several channels with a
    supervision of some of them: channels are averaged.
    """
    recordings = {row["id"]: row for row in _read(root, "recordings")}
    for row in _read(root, "supervisions"):
        name, recording = row["id"], recordings.get(row["recording_id"])
        if recording is None:
            raise DataError(
                f"{root}: supervision {name!r} is of recording {row['recording_id']!r}, which is "
                "not listed"
            )
        if not row.get("speaker"):
            raise DataError(f"{root}: supervision {name!r} names no speaker")
        channels = np.atleast_1d(row.get("channel", 0)).tolist()
        known = recording.get("channel_ids") or recording["sources"][0]["channels"]
        if set(channels) != set(known):
            raise DataError(
                f"{root}: supervision {name!r} is of channel {channels} of {known}; write the "
                "channels to files of their own first"
            )
        file = _file_of(recording, root)
        segment = _segment(file, row["start"], row["duration"], recording["duration"])
        session = str((row.get("custom") or {}).get("session", ""))
        yield Utterance(name, row["speaker"], session, str(segment), "lhotse")


def _segment(file: str, start: float, duration: float, file_seconds: float) -> Segment:
    """The segment of a file; the whole file where next to nothing is left out."""
    rest = file_seconds - start - duration
    if max(start, abs(rest)) <= TOLERANCE_SECONDS:
        return Segment(file)
    return Segment(file, start, math.inf if abs(rest) < 1e-4 else start + duration)


def _file_of(recording: Row, root: Path) -> str:
    sources = recording["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        raise DataError(f"{root}: recording {recording['id']!r} is not one file")
    path = Path(sources[0]["source"])
    beside = root / path
    return (beside if beside.exists() else path).absolute().as_posix()


def _read(root: Path, kind: str) -> Iterator[Row]:
    """Rows of ``*KIND*.jsonl[.gz]``; `kind` is recordings or supervisions."""
    paths = sorted([*root.glob(f"*{kind}*.jsonl"), *root.glob(f"*{kind}*.jsonl.gz")])
    if not paths:
        raise DataError(f"{root}: holds no *{kind}*.jsonl or *{kind}*.jsonl.gz")
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        try:
            with opened(path, "rt", encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as Lhotse's {kind} ({error})") from None


def _write(manifest: Manifest, folder: Path) -> tuple[int, int]:
    """Write ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``.

    Rates and lengths come from the files' headers; files without a readable one go to
    failures.jsonl. Returns the number of utterances written and of failures.
    """
    rows = list(manifest)
    ids = recording_ids({row.utterance: Segment.of(row.path) for row in rows})
    recordings: dict[str, Row] = {}
    supervisions: list[Row] = []
    failures: list[Row] = []
    for row in rows:
        segment = Segment.of(row.path)
        try:
            recording = recordings.get(segment.file) or _recording(ids[segment.file], segment.file)
            inside = segment.samples(recording["num_samples"], recording["sampling_rate"])
        except AudioError as error:
            failures.append({"utterance": row.utterance, **error.as_dict(), "path": row.path})
        else:
            recordings[segment.file] = recording
            supervisions.append(_supervision(row, recording, inside))
    _write_rows(folder / "recordings.jsonl.gz", list(recordings.values()))
    _write_rows(folder / "supervisions.jsonl.gz", supervisions)
    if failures:
        write_jsonl(folder / "failures.jsonl", failures)
    else:
        (folder / "failures.jsonl").unlink(missing_ok=True)
    return len(supervisions), len(failures)


def _recording(name: str, file: str) -> Row:
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


def _supervision(row: Utterance, recording: Row, inside: slice) -> Row:
    rate, channels = recording["sampling_rate"], recording["channel_ids"]
    return {
        "id": row.utterance,
        "recording_id": recording["id"],
        "start": inside.start / rate,
        "duration": (inside.stop - inside.start) / rate,
        "channel": channels if len(channels) > 1 else 0,
        "speaker": row.speaker,
        "custom": {"session": row.session, "corpus": row.corpus},
    }


def _write_rows(path: Path, rows: list[Row]) -> None:
    with atomic_write(path) as temporary, gzip.GzipFile(temporary, "wb", mtime=0) as file:
        file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


LAYOUT = Corpus(_scan, ("recordings.jsonl[.gz]", "supervisions.jsonl[.gz]"))
LHOTSE = ListFormat(_write, layout=LAYOUT)
