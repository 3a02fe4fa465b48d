"""From recordings to what a gallery holds of them: vector, measures, hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import risks_of
from timbral.audio.segments import Segment
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError, Refusal
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.recordings import name_of, no_finite_vector
from timbral.io.files import file_sha256
from timbral.io.storage import is_url
from timbral.io.types import Vectors

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["measure_recordings"]


def measure_recordings(
    embedder: Embedder,
    recordings: Sequence[object],
    sample_rate: float | None = None,
    sources: Sequence[str] | None = None,
) -> tuple[list[EnrolledRecording], list[Refusal]]:
    """Read and embed recordings; those that give no vector are the refusals.

    Args:
        embedder: of the gallery's encoder
        recordings: in any form that an Embedder takes
        sample_rate: in Hz, of samples that come without a rate
        sources: what each is called; None: its path, or ``recordings[ROW]``
    """
    measured, refusals = [], []
    for row, audio in enumerate(recordings):
        name = sources[row] if sources else _name_of(audio, row)
        try:
            measured.append(_measure(embedder, _content_of(audio), name, sample_rate))
        except AudioError as error:
            refusals.append(Refusal(name, "unusable", error.reason))
    return measured, refusals


def _measure(
    embedder: Embedder, audio: object, name: str, sample_rate: float | None
) -> EnrolledRecording:
    from timbral.inference.several_speakers import several_speakers_of

    wave, quality = embedder.loader.load_measured(audio, name, sample_rate)
    vectors = embedder.encode_preprocessed([wave])
    if not finite_rows(vectors).all():
        raise no_finite_vector(name)
    risks = [risk.kind for risk in risks_of(quality)]
    if "no-speech" not in risks and several_speakers_of(embedder, wave) is not None:
        risks.append("several-speakers")
    return _recording(vectors[0], name, _sha256(audio, wave), quality, risks)


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


def _name_of(audio: object, row: int) -> str:
    return name_of(audio, f"recordings[{row}]")


def _content_of(audio: object) -> object:
    """The bytes of an open file, which can be read once; everything else as it is."""
    read = getattr(audio, "read", None)
    return read() if callable(read) else audio


def _sha256(audio: object, wave: Wave) -> str:
    """Of the file that a recording is, or else of its samples as the encoder sees them.

    A segment of a file is another recording than the file.
    """
    if isinstance(audio, bytes | bytearray | memoryview):
        return hashlib.sha256(audio).hexdigest()
    if isinstance(audio, str | os.PathLike):
        path = os.fspath(audio)
        if Segment.of(path).file == path and not is_url(path):
            return file_sha256(Path(path))
    return hashlib.sha256(np.ascontiguousarray(wave).tobytes()).hexdigest()
