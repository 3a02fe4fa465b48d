"""Compute what a gallery stores of recordings: vector, measures, hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import SHORT_SECONDS, Risk, is_speech, risks_of
from timbral.audio.segments import Segment
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError, Refusal
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.recordings import name_of, no_finite_vector
from timbral.io.files import file_sha256
from timbral.io.storage import is_url
from timbral.io.types import Vectors

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["MeasuredRecordings", "measure_recordings"]


@dataclass(frozen=True)
class MeasuredRecordings:
    """The recordings that a gallery may store, with the reasons against the others."""

    recordings: list[EnrolledRecording]
    refusals: list[Refusal]
    """recordings without a usable vector"""
    risks: dict[str, list[Risk]]
    """the risks of each recording, by its source"""

    def with_warnings(self, enrollment: Enrollment) -> Enrollment:
        """An enrollment with the risks of those recordings that were enrolled.

        A short recording is no risk in a voice with enough speech.
        """
        is_short = enrollment.speech_seconds < SHORT_SECONDS
        warnings = tuple(
            f"{source}: {risk.kind}: {risk.message}"
            for source in enrollment.accepted
            for risk in self.risks[source]
            if risk.kind != "short" or is_short
        )
        return replace(enrollment, warnings=(*enrollment.warnings, *warnings))


def measure_recordings(
    embedder: Embedder,
    recordings: Sequence[object],
    sample_rate: float | None = None,
    sources: Sequence[str] | None = None,
) -> MeasuredRecordings:
    """Read and embed recordings.

    Args:
        embedder: the gallery's encoder
        recordings: in any form that an Embedder takes
        sample_rate: rate in Hz of samples without a rate
        sources: names of the recordings; None: their paths, or ``recordings[ROW]``
    """
    found = MeasuredRecordings([], [], {})
    for row, audio in enumerate(recordings):
        name = sources[row] if sources else name_of(audio, f"recordings[{row}]")
        try:
            recording, risks = _measure(embedder, _content_of(audio), name, sample_rate)
        except AudioError as error:
            found.refusals.append(Refusal(name, "unusable", error.reason))
        else:
            found.recordings.append(recording)
            found.risks[name] = risks
    return found


def _measure(
    embedder: Embedder, audio: object, name: str, sample_rate: float | None
) -> tuple[EnrolledRecording, list[Risk]]:
    from timbral.inference.several_speakers import several_speakers_of

    wave, quality = embedder.loader.load_measured(audio, name, sample_rate)
    vectors = embedder.encode_preprocessed([wave])
    if not finite_rows(vectors).all():
        raise no_finite_vector(name)
    risks = list(risks_of(quality))
    if is_speech(quality) and (second := several_speakers_of(embedder, wave)) is not None:
        risks.append(second)
    kinds = [risk.kind for risk in risks]
    recording = _recording(vectors[0], name, _sha256(audio, wave), quality, kinds)
    return replace(recording, precision=embedder.precision), risks


def _recording(
    vector: Vectors, source: str, sha256: str, quality: Quality, risks: Sequence[str]
) -> EnrolledRecording:
    return EnrolledRecording(
        vector,
        source,
        sha256,
        quality.seconds,
        quality.speech_seconds,
        quality.bandwidth_hz,
        quality.snr_db,
        tuple(risks),
    )


def _content_of(audio: object) -> object:
    """The bytes of an open file, which can be read only once; everything else unchanged."""
    read = getattr(audio, "read", None)
    return read() if callable(read) else audio


def _sha256(audio: object, wave: Wave) -> str:
    """The hash of a recording's file, else of its samples as the encoder sees them.

    A segment of a file counts as another recording than the file.
    """
    if isinstance(audio, bytes | bytearray | memoryview):
        return hashlib.sha256(audio).hexdigest()
    if isinstance(audio, str | os.PathLike):
        path = os.fspath(audio)
        if Segment.of(path).file == path and not is_url(path):
            return file_sha256(Path(path))
    return hashlib.sha256(np.ascontiguousarray(wave).tobytes()).hexdigest()
