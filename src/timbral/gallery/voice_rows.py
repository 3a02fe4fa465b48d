"""Convert rows of a gallery's tables to voices and recordings, and back.

A file may be damaged or from a stranger: for a row that timbral did not write, ValueError or
TypeError is raised here, and reported as damage by `VoiceStore`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from timbral.gallery.voices import EnrolledRecording, VoiceSummary
from timbral.io.types import Vectors

__all__ = [
    "RECORDING_COLUMNS",
    "VOICE_COLUMNS",
    "bytes_of",
    "checked_text",
    "checked_whole",
    "recording_of",
    "summary_of",
    "values_of",
    "vectors_of",
]

BYTES_OF_NUMBER = 4
VOICE_COLUMNS = (
    "name, num_recordings, speech_seconds, created_at, consent, consent_at, enroll_again"
)
RECORDING_COLUMNS = (
    "vector, source, sha256, duration_seconds, speech_seconds, bandwidth_hz, snr_db, risks, "
    "added_at, mapped, precision"
)


def summary_of(row: tuple[Any, ...]) -> VoiceSummary:
    """The voice in a row of `VOICE_COLUMNS`."""
    return VoiceSummary(
        checked_text(row[0]), checked_whole(row[1]), float(row[2]), *map(checked_text, row[3:])
    )


def recording_of(row: tuple[Any, ...], size: int) -> EnrolledRecording:
    """The recording in a row of `RECORDING_COLUMNS` and its number; `size` is E."""
    vector, source, sha256, duration, speech, bandwidth, snr, risks, added_at = row[:9]
    mapped, precision, id = row[9:]
    return EnrolledRecording(
        vectors_of([vector], size)[0],
        checked_text(source),
        checked_text(sha256),
        float(duration),
        _measured(speech),
        _measured(bandwidth),
        _measured(snr),
        tuple(map(checked_text, json.loads(risks))),
        checked_text(added_at),
        id,
        bool(mapped),
        checked_text(precision),
    )


def _measured(value: float | None) -> float | None:
    return None if value is None else float(value)


def checked_text(value: object) -> str:
    """The value, which must be text."""
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, got {value!r:.40}")
    return value


def checked_whole(value: object) -> int:
    """The value, which must be a whole number."""
    if not isinstance(value, int):
        raise TypeError(f"a whole number is expected, got {value!r:.40}")
    return value


def values_of(voice: int, recording: EnrolledRecording, time: str) -> tuple[object, ...]:
    """The row of a recording for `VoiceStore` to insert."""
    each = replace(recording, added_at=recording.added_at or time)
    return (
        voice,
        bytes_of(each.vector),
        each.source,
        each.sha256,
        each.duration_seconds,
        each.speech_seconds,
        each.bandwidth_hz,
        each.snr_db,
        json.dumps(each.risks),
        each.added_at,
        int(each.mapped),
        each.precision,
    )


def bytes_of(vector: Vectors) -> bytes:
    """A vector as stored in the tables: float32, little-endian."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def vectors_of(contents: Sequence[bytes], size: int) -> Vectors:
    """The vectors (N, E) that `bytes_of` wrote; ValueError for others. `size` is E."""
    if {len(each) for each in contents} != {BYTES_OF_NUMBER * size}:
        raise ValueError(f"a vector does not have {size} numbers")
    vectors = np.frombuffer(b"".join(contents), "<f4").astype(np.float32).reshape(-1, size)
    if not np.isfinite(vectors).all():
        raise ValueError("a vector is not finite")
    return vectors
