"""Voices of a gallery, and their recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from timbral.audio.quality.risks import NARROW_HZ, NOISY_DB
from timbral.calibration.conditions import MAX_SNR_DB, Conditions
from timbral.embeddings.vectors import has_direction, unit_length, unit_mean
from timbral.errors import InputError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.io.masked_arrays import refuse_masked
from timbral.io.types import Vectors

__all__ = [
    "EnrolledRecording",
    "Voice",
    "VoiceSummary",
    "checked_recordings",
    "conditions_of",
    "counted",
    "voice_vector",
]

FULL_BAND_HZ = 8000.0


@dataclass(frozen=True)
class EnrolledRecording:
    """A recording's vector and measures; the audio is not kept."""

    vector: Vectors = field(repr=False)
    """(E,), of unit length"""
    source: str
    """path or name of the source"""
    sha256: str = ""
    """hash of the file, or of the samples; empty if unknown"""
    duration_seconds: float = 0.0
    speech_seconds: float | None = None
    """net speech; None if not measured"""
    bandwidth_hz: float | None = None
    """None if not measured"""
    snr_db: float | None = None
    """None if not measured, and for recordings without a pause"""
    risks: tuple[str, ...] = ()
    """kinds of risks in `timbral.audio.quality.risks`"""
    added_at: str = ""
    """time of enrollment, in UTC (ISO 8601); set by the gallery"""
    id: int = 0
    """number in its gallery, set by the gallery"""
    mapped: bool = False
    """whether its vector was mapped from another encoder by a migration"""
    precision: str = ""
    """precision in which its vector was computed, such as fp32; empty if unknown, and if mapped"""

    @property
    def has_length(self) -> bool:
        """Whether its length is known, which it is not for vectors of other tools."""
        return self.speech_seconds is not None or self.duration_seconds > 0


@dataclass(frozen=True)
class VoiceSummary:
    """A voice without its vectors."""

    name: str
    num_recordings: int
    speech_seconds: float
    """total net speech of its recordings"""
    created_at: str
    consent: str
    """what its speaker agreed to, or where that is kept; empty: not stated"""
    consent_at: str
    """when consent was noted"""
    enroll_again: str
    """why it should be enrolled again; empty: it need not be"""


@dataclass(frozen=True)
class Voice:
    """A voice with everything that the gallery stores about it."""

    summary: VoiceSummary
    recordings: tuple[EnrolledRecording, ...]

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def vector(self) -> Vectors:
        """(E,), the unit mean of its recordings' unit vectors."""
        return voice_vector(self.recordings)


def voice_vector(recordings: Sequence[EnrolledRecording]) -> Vectors:
    """The unit mean (E,) of the unit vectors of those recordings that count."""
    return unit_mean(unit_length(np.stack([each.vector for each in counted(recordings)])))


def counted(recordings: Sequence[EnrolledRecording]) -> Sequence[EnrolledRecording]:
    """The recordings that count: mapped ones only if there are no others.

    One recording embedded by the encoder itself is worth more than many mapped ones.
    """
    return [each for each in recordings if not each.mapped] or recordings


def conditions_of(recordings: Sequence[EnrolledRecording]) -> Conditions:
    """The conditions (N,) of recordings.

    Missing measures are taken from the risks if possible, else assumed to be good: a bandwidth of 8
    kHz, no noise, and speech for the whole duration.
    """
    return Conditions.within_limits(
        [_speech(each) for each in recordings],
        [_bandwidth(each) for each in recordings],
        [_snr(each) for each in recordings],
    )


def _speech(recording: EnrolledRecording) -> float:
    measured = recording.speech_seconds
    return recording.duration_seconds if measured is None else measured


def _bandwidth(recording: EnrolledRecording) -> float:
    if recording.bandwidth_hz is not None:
        return recording.bandwidth_hz
    return NARROW_HZ if "narrow-band" in recording.risks else FULL_BAND_HZ


def _snr(recording: EnrolledRecording) -> float:
    if recording.snr_db is not None:
        return recording.snr_db
    return NOISY_DB if "noisy" in recording.risks else MAX_SNR_DB


def checked_recordings(
    recordings: Sequence[EnrolledRecording], encoder: EncoderIdentity
) -> list[EnrolledRecording]:
    """The recordings with vectors of unit length; InputError for vectors of another encoder."""
    if not recordings:
        raise InputError("recordings: at least one is needed; the list is empty")
    size = encoder.embedding_dim
    for each in recordings:
        refuse_masked(each.vector, f"{each.source}: its vector")
        vector = np.asarray(each.vector)
        if vector.shape != (size,) or not has_direction(vector):
            raise InputError(
                f"{each.source}: its vector must be {size} finite numbers, not all 0, as "
                f"{encoder} computes them; got shape {vector.shape}"
            )
    return [replace(each, vector=_at_unit_length(each.vector)) for each in recordings]


def _at_unit_length(vector: Vectors) -> Vectors:
    """Vectors that already have unit length are not changed, so that an export equals what was
    enrolled.
    """
    given = np.asarray(vector, np.float32)
    return given if abs(float(np.linalg.norm(given)) - 1) < 1e-5 else unit_length(given)
