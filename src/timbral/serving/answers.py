"""The answers of the service, as its OpenAPI page describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel

from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import Risk, risks_of

__all__ = [
    "CandidateAnswer",
    "ComparisonAnswer",
    "DeletionAnswer",
    "EmbeddingAnswer",
    "EnrolledRecordingAnswer",
    "EnrollmentAnswer",
    "HealthAnswer",
    "IdentificationAnswer",
    "RecordingAnswer",
    "RefusalAnswer",
    "RiskAnswer",
    "TimelineAnswer",
    "VoiceAnswer",
    "VoiceListAnswer",
    "VoiceSummaryAnswer",
]


class RecordingRefusalAnswer(BaseModel):
    """Why a recording was not enrolled."""

    recording: str
    kind: str
    reason: str


class RefusalAnswer(BaseModel):
    """Why a request was refused."""

    kind: str
    """one word for programs, such as too-short"""
    message: str
    """what came, what is allowed and what to do"""
    refusals: list[RecordingRefusalAnswer] | None = None
    """of an enrollment: why each recording was refused"""


class RiskAnswer(BaseModel):
    """One reason to mistrust a recording."""

    kind: str
    message: str


class RecordingAnswer(BaseModel):
    """What was measured of a recording."""

    seconds: float
    speech_seconds: float
    speech_dbfs: float
    snr_db: float | None
    bandwidth_hz: float
    clipped_fraction: float
    num_channels: int
    speech_probability: float
    risks: list[RiskAnswer]

    @classmethod
    def of(cls, quality: Quality, more: Sequence[Risk] = ()) -> Self:
        """Of measures, with the risks that they show, and more that others have found."""
        found = [*risks_of(quality), *more]
        risks = [RiskAnswer(kind=risk.kind, message=risk.message) for risk in found]
        measures = {key: getattr(quality, key) for key in cls.model_fields if key != "risks"}
        return cls(risks=risks, **measures)


class EmbeddingAnswer(BaseModel):
    """Vectors of recordings, float32 and of unit length, in their order."""

    encoder: str
    weights_sha256: str
    embeddings: list[list[float]]
    recordings: list[RecordingAnswer] | None = None
    """measures, when asked for"""


class TimelineAnswer(BaseModel):
    """The windows of one recording, compared with the other one."""

    of: Literal["first", "second"]
    seconds: list[tuple[float, float]]
    """start and end of each window"""
    scores: list[float]
    """cosine of each window and the other recording"""


class ComparisonAnswer(BaseModel):
    """Are two recordings of one speaker? The fields of `timbral.Decision`, and both recordings."""

    encoder: str
    weights_sha256: str
    score: float
    threshold: float | None
    same: bool | None
    llr: float | None
    probability: float | None
    prior: float | None
    false_accept_bound: float | None
    why: str
    warnings: list[str]
    first: RecordingAnswer
    second: RecordingAnswer
    timeline: TimelineAnswer | None = None


class HealthAnswer(BaseModel):
    """Ready to answer."""

    status: Literal["ok"] = "ok"
    encoder: str
    weights_sha256: str
    embedding_dim: int
    calibrated: bool
    gallery: bool
    max_seconds: float
    max_upload_bytes: int
    max_files: int


class EnrollmentAnswer(BaseModel):
    """What was enrolled of a voice, and what was not."""

    name: str
    is_new: bool
    accepted: list[str]
    refused: list[RecordingRefusalAnswer]
    num_recordings: int
    """of the voice, now"""
    speech_seconds: float
    """net, of the voice, now"""
    warnings: list[str]
    """what speaks against recordings that were enrolled"""


class VoiceSummaryAnswer(BaseModel):
    """A voice without its recordings."""

    name: str
    num_recordings: int
    speech_seconds: float
    created_at: str
    consent: str
    consent_at: str
    enroll_again: str
    """why it should be enrolled again; empty: it need not"""


class EnrolledRecordingAnswer(BaseModel):
    """What is kept of an enrolled recording, but for its vector."""

    id: int
    source: str
    sha256: str
    duration_seconds: float
    speech_seconds: float | None
    risks: list[str]
    added_at: str


class VoiceAnswer(VoiceSummaryAnswer):
    """A voice with its recordings."""

    recordings: list[EnrolledRecordingAnswer]


class VoiceListAnswer(BaseModel):
    """All enrolled voices, in the order of their names."""

    voices: list[VoiceSummaryAnswer]


class DeletionAnswer(BaseModel):
    """What was deleted."""

    name: str
    overwritten: bool
    """in every file; false while another process reads it, which finishes that"""


class CandidateAnswer(BaseModel):
    """An enrolled voice that a recording may be of."""

    name: str
    score: float
    llr: float | None
    probability: float | None
    enroll_again: bool


class IdentificationAnswer(BaseModel):
    """Who of the enrolled voices it is: the fields of `timbral.Identification`."""

    name: str | None
    """null: nobody, as far as can be said"""
    holds_speech: bool
    """false: no speech was found in the recording, so nobody is named"""
    nobody: float | None
    """probability that the speaker is not enrolled"""
    candidates: list[CandidateAnswer]
    num_voices: int
    prior: float
    threshold: float | None
    false_accept_bound: float | None
    warnings: list[str]
    why: str
    recording: RecordingAnswer
