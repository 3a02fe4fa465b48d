"""The findings of an audit for the voice map: a text for each, and the points that it plays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from timbral.embeddings.audit.findings import when_talking
from timbral.embeddings.table import group_rows, vectors_of
from timbral.embeddings.vectors import medoid_row, unit_length
from timbral.io.types import Vectors

__all__ = ["MapFinding", "OtherRecording", "map_findings"]

MOST_LISTED = 200
"""findings of each kind, the most probable ones"""
TEXTS = {
    "mislabeled": "{utterance}: {other_speaker} rather than {speaker}?",
    "same-speaker": "{speaker} and {other_speaker}",
    "mixed-speaker": "{speaker}, such as {utterance}",
    "duplicate": "{utterance} and {other_utterance}",
    "shared-speaker": "{utterance} of {speaker}, there {other_utterance} of {other_speaker}",
    "second-speaker": "{utterance}: another voice {when}",
}
SIDES = {
    "mislabeled": ("utterance", "other_speaker"),
    "same-speaker": ("speaker", "other_speaker"),
    "mixed-speaker": ("utterance", "speaker"),
    "duplicate": ("utterance", "other_utterance"),
    "shared-speaker": ("utterance",),
    "second-speaker": ("utterance",),
}
"""columns that name what is played, in this order; for a speaker, the medoid of the utterances. The
other corpus of a shared speaker is not on the map (`OtherRecording`)."""


@dataclass(frozen=True)
class OtherRecording:
    """A recording of another corpus, which has no point."""

    utterance: str
    speaker: str
    path: str
    refusal: str = ""
    """why it may not be read; "": it may"""


@dataclass(frozen=True)
class MapFinding:
    """One finding, as the map lists it."""

    kind: str
    percent: int
    """its probability"""
    text: str
    points: list[int]
    """rows of the utterances that it plays"""
    moment: float | None = None
    """time in seconds around which the recording is played; None: from its start"""
    other: OtherRecording | None = None
    """what is played last"""


def map_findings(
    findings: pa.Table, table: pa.Table, others: Mapping[str, OtherRecording] | None = None
) -> list[MapFinding]:
    """The findings about a table of utterances, in the order of `findings`, up to 200 per kind.

    `others` are the recordings of the other corpus that shared speakers were looked for in. Names
    that are not in the table are skipped, because it may have changed since the audit.
    """
    row_of = {name: row for row, name in enumerate(table["utterance"].to_pylist())}
    typical = _typical_rows(findings, table)
    listed: dict[str, int] = defaultdict(int)
    found = []
    for finding in findings.to_pylist():
        kind = finding["kind"]
        if kind not in SIDES or listed[kind] == MOST_LISTED:
            continue
        points = _points(finding, row_of, typical)
        if points:
            listed[kind] += 1
            percent = round(100 * finding["probability"])
            moment = finding["moment_seconds"] if kind == "second-speaker" else None
            text = TEXTS[kind].format(**finding, when=when_talking(finding) if moment else "")
            name = finding["other_utterance"] if kind == "shared-speaker" else ""
            other = (others or {}).get(name)
            found.append(MapFinding(kind, percent, text, points, moment, other))
    return found


def _points(
    finding: Mapping[str, Any], row_of: Mapping[str, int], typical: Mapping[str, int]
) -> list[int]:
    """The distinct rows that a finding plays."""
    sides = [
        (row_of if column.endswith("utterance") else typical).get(finding[column])
        for column in SIDES[finding["kind"]]
    ]
    return list(dict.fromkeys(row for row in sides if row is not None))


def _typical_rows(findings: pa.Table, table: pa.Table) -> dict[str, int]:
    """The medoid's row for each speaker that a finding names."""
    needed = set(findings["speaker"].to_pylist()) | set(findings["other_speaker"].to_pylist())
    vectors: Vectors = vectors_of(table)
    typical = {}
    for speaker, rows in group_rows(table["speaker"].to_pylist()):
        if speaker in needed:
            typical[speaker] = int(rows[medoid_row(unit_length(vectors[rows]))])
    return typical
