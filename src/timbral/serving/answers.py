"""The answers of the service; its OpenAPI page is made from these classes."""

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
    """for an enrollment: why each recording was refused"""


class RiskAnswer(BaseModel):
    """One reason to mistrust a recording."""

    kind: str
    message: str


class RecordingAnswer(BaseModel):
    """Measures of a recording, and the risks that they show."""

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
        """From measures: the risks that they show, and `more` risks found otherwise."""
        all_risks = [*risks_of(quality), *more]
        risks = [RiskAnswer(kind=risk.kind, message=risk.message) for risk in all_risks]
        measures = {key: getattr(quality, key) for key in cls.model_fields if key != "risks"}
        return cls(risks=risks, **measures)


class EmbeddingAnswer(BaseModel):
    """Vectors of recordings, float32 and of unit length, in their order."""

    encoder: str
    weights_sha256: str
    embeddings: list[list[float]]
    recordings: list[RecordingAnswer] | None = None
    """measures of each recording, if requested"""


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
    """The service is ready; its encoder and limits."""

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
    """Recordings of a voice that were enrolled, and those that were not."""

    name: str
    is_new: bool
    accepted: list[str]
    refused: list[RecordingRefusalAnswer]
    num_recordings: int
    """number of the voice's recordings, after this enrollment"""
    speech_seconds: float
    """net speech of the voice, after this enrollment"""
    warnings: list[str]
    """risks of enrolled recordings"""


class VoiceSummaryAnswer(BaseModel):
    """A voice without its recordings."""

    name: str
    num_recordings: int
    speech_seconds: float
    created_at: str
    consent: str
    consent_at: str
    enroll_again: str
    """why it should be enrolled again; empty if it need not be"""


class EnrolledRecordingAnswer(BaseModel):
    """An enrolled recording, without its vector."""

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
    """The deletion of a voice."""

    name: str
    overwritten: bool
    """whether it is overwritten in every file; false while another process reads the gallery, which
    then completes the overwriting"""


class CandidateAnswer(BaseModel):
    """An enrolled voice to which a recording may belong."""

    name: str
    score: float
    llr: float | None
    probability: float | None
    enroll_again: bool


class IdentificationAnswer(BaseModel):
    """Which enrolled voice it is: the fields of `timbral.Identification`."""

    name: str | None
    """null if none of them could be named"""
    holds_speech: bool
    """false if the recording contains no speech, so that no voice is named"""
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
