"""Lhotse's manifests of recordings and supervisions, read and written without Lhotse."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from timbral.audio import read_header
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError
from timbral.files import write_jsonl, written_whole

__all__ = ["scan_lhotse", "write_lhotse"]

TOLERANCE_SECONDS = 0.05
"""a supervision that ends this near to its recording's end covers it"""

Row = dict[str, Any]


def scan_lhotse(root: Path) -> Iterator[Utterance]:
    """A folder with ``*recordings*.jsonl[.gz]`` and ``*supervisions*.jsonl[.gz]``.

    The session is ``custom.session`` when it is there. A supervision that is only a part of its
    recording is refused, and so is a recording of several files or supervisions.
    """
    recordings = {row["id"]: row for row in _read(root, "recordings")}
    for row in _read(root, "supervisions"):
        name, recording = row["id"], recordings.pop(row["recording_id"], None)
        if recording is None:
            raise DataError(
                f"{root}: supervision {name!r} is of recording {row['recording_id']!r}, which is "
                "not listed, or has another supervision already"
            )
        if row["start"] or abs(row["duration"] - recording["duration"]) > TOLERANCE_SECONDS:
            raise DataError(
                f"{root}: supervision {name!r} is a part of its recording (from {row['start']} s, "
                f"{row['duration']} s of {recording['duration']} s); cut the recordings into files "
                "first, such as with CutSet.trim_to_supervisions and save_audios"
            )
        if not row.get("speaker"):
            raise DataError(f"{root}: supervision {name!r} names no speaker")
        session = str((row.get("custom") or {}).get("session", ""))
        yield Utterance(name, row["speaker"], session, _source(recording, root), "lhotse")


def _source(recording: Row, root: Path) -> str:
    sources = recording["sources"]
    if len(sources) != 1 or sources[0]["type"] != "file":
        raise DataError(f"{root}: recording {recording['id']!r} is not one file")
    path = Path(sources[0]["source"])
    beside = root / path
    return (beside if beside.exists() else path).absolute().as_posix()


def _read(root: Path, kind: str) -> Iterator[Row]:
    paths = sorted(path for end in ("", ".gz") for path in root.glob(f"*{kind}*.jsonl{end}"))
    if not paths:
        raise DataError(f"{root}: no *{kind}*.jsonl or *{kind}*.jsonl.gz here")
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        try:
            with opened(path, "rt", encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: cannot be read as Lhotse's {kind} ({error})") from None


def write_lhotse(
    utterances: Iterable[Utterance],
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[int, int]:
    """Write ``recordings.jsonl.gz`` and ``supervisions.jsonl.gz``, one of each an utterance.

    Rates and lengths come from the files' headers; files without a readable one go to
    failures.jsonl. Returns the number of utterances written and of failures.
    """
    recordings: list[Row] = []
    supervisions: list[Row] = []
    failures: list[Row] = []
    for row in utterances:
        progress(len(recordings) + len(failures))
        try:
            rate, samples, channels = read_header(row.path)
        except AudioError as error:
            failures.append({"utterance": row.utterance, "path": row.path, "reason": str(error)})
            continue
        source = {"type": "file", "channels": list(range(channels)), "source": row.path}
        seconds = samples / rate
        recordings.append(
            {
                "id": row.utterance,
                "sources": [source],
                "sampling_rate": rate,
                "num_samples": samples,
                "duration": seconds,
                "channel_ids": source["channels"],
            }
        )
        about: Row = {"id": row.utterance, "recording_id": row.utterance, "start": 0.0}
        about |= {"duration": seconds, "channel": 0, "speaker": row.speaker}
        custom = {"session": row.session, "corpus": row.corpus}
        supervisions.append({**about, "custom": custom})
    _write(folder / "recordings.jsonl.gz", recordings)
    _write(folder / "supervisions.jsonl.gz", supervisions)
    if failures:
        write_jsonl(folder / "failures.jsonl", failures)
    return len(recordings), len(failures)


def _write(path: Path, rows: list[Row]) -> None:
    with written_whole(path) as temporary, gzip.GzipFile(temporary, "wb", mtime=0) as file:
        file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
