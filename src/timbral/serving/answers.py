"""The answers of the service, as its OpenAPI page describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

__all__ = [
    "ComparisonAnswer",
    "EmbeddingAnswer",
    "HealthAnswer",
    "RecordingAnswer",
    "RefusalAnswer",
    "RiskAnswer",
    "TimelineAnswer",
]


class RefusalAnswer(BaseModel):
    """Why a request was refused."""

    kind: str
    """one word for programs, such as too-short"""
    message: str
    """what came, what is allowed and what to do"""


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
