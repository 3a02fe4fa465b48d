"""NeMo's manifests: a JSON object a line, with ``audio_filepath``, ``offset``, ``duration``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timbral.audio.decode import read_header
from timbral.audio.segments import Segment
from timbral.data.further_columns import OWN_NAMES
from timbral.data.lists.list_format import Failure, ListFormat, check_as_recorded, failure_of
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import AudioError, DataError
from timbral.io.files import write_jsonl
from timbral.io.outputs import FileKind

__all__ = ["NEMO"]

KEYS = ("audio_filepath", "offset", "duration", "label", "utterance", "session")
KIND = FileKind("a manifest of NeMo", frozenset(KEYS), without=OWN_NAMES.difference(KEYS))


def _write(manifest: Manifest, output: Path) -> Sequence[Failure]:
    """Write the manifest; `label` is the speaker, as NeMo's speaker models read it.

    Rates and lengths come from the files' headers; files without a readable one are failures.
    """
    if taken := [name for name in manifest.further_names if name in KEYS]:
        raise DataError(
            f"the column {taken[0]!r} has the name of a key that a NeMo manifest uses itself; "
            "rename it, or write a table (parquet, csv, tsv, jsonl)"
        )
    check_as_recorded(manifest, "a NeMo manifest")
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    lengths: dict[str, tuple[int, int]] = {}
    for row in manifest:
        try:
            rows.append(_row(row, lengths))
        except AudioError as error:
            failures.append(failure_of(row, error))
    write_jsonl(output, rows)
    return failures


def _row(row: Utterance, lengths: dict[str, tuple[int, int]]) -> dict[str, Any]:
    segment = Segment.of(row.path)
    if segment.file not in lengths:
        rate, samples, _ = read_header(segment.file)
        lengths[segment.file] = rate, samples
    rate, samples = lengths[segment.file]
    inside = segment.samples(samples, rate)
    return {
        "audio_filepath": segment.file,
        "offset": inside.start / rate,
        "duration": (inside.stop - inside.start) / rate,
        "label": row.speaker,
        "utterance": row.utterance,
        "session": row.session,
        **{name: value for name, value in row.further.items() if value is not None},
    }


NEMO = ListFormat(_write, is_text=True, kind=KIND)
