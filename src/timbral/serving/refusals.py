"""Convert errors of the library to answers: HTTP status, kind and the library's message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timbral.errors import (
    AudioError,
    ConfigError,
    DataError,
    EnrollmentError,
    InputError,
    MissingExtraError,
    Refusal,
    TimbralError,
    UnavailableError,
)

__all__ = ["RETRY_AFTER_SECONDS", "ErrorAnswer", "ServiceError", "answer_to"]

RETRY_AFTER_SECONDS = 1
UNUSABLE, CONFLICT = 422, 409
AUDIO_STATUS = {
    "too-long": 413,
    "too-large": 413,
    "unreadable": 415,
    "unsupported": 415,
    "missing-extra": 415,
}
"""HTTP status by the kind of an AudioError; any other kind is of a readable recording that cannot
be used: `UNUSABLE`"""


class ServiceError(TimbralError):
    """A request that the service refuses before, or instead of, asking the library.

    Attributes:
        status: HTTP status code
        kind: one word for programs
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status, self.kind = status, kind

    def __str__(self) -> str:
        return str(self.args[2])


@dataclass(frozen=True)
class ErrorAnswer:
    """The answer to a client whose request failed."""

    status: int
    kind: str
    message: str
    refusals: tuple[Refusal, ...] = ()
    """refusals of single recordings"""

    @property
    def headers(self) -> dict[str, str]:
        if self.status in (429, 503):
            return {"retry-after": str(RETRY_AFTER_SECONDS)}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}

    def as_dict(self) -> dict[str, Any]:
        content: dict[str, Any] = {"kind": self.kind, "message": self.message}
        if self.refusals:
            content["refusals"] = [each._asdict() for each in self.refusals]
        return content


def answer_to(error: TimbralError) -> ErrorAnswer:
    """The answer to a request that raised this error."""
    if isinstance(error, ServiceError):
        return ErrorAnswer(error.status, error.kind, str(error))
    if isinstance(error, AudioError):
        return ErrorAnswer(AUDIO_STATUS.get(error.kind, UNUSABLE), error.kind, str(error))
    if isinstance(error, EnrollmentError):
        unusable = all(each.kind == "unusable" for each in error.refusals)
        return ErrorAnswer(
            UNUSABLE if unusable else CONFLICT, "not-enrolled", str(error), error.refusals
        )
    if isinstance(error, ConfigError | InputError):
        return ErrorAnswer(UNUSABLE, "setting", str(error))
    if isinstance(error, UnavailableError):  # its message names the database
        return ErrorAnswer(503, "unavailable", "the gallery cannot be used now; try again later")
    if isinstance(error, MissingExtraError):
        return ErrorAnswer(501, "missing-extra", str(error))
    return ErrorAnswer(CONFLICT if isinstance(error, DataError) else 500, "data", str(error))
