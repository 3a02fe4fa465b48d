"""From an error of the library to an answer: a status, a kind and the library's own message."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.errors import (
    AudioError,
    ConfigError,
    DataError,
    InputError,
    MissingExtraError,
    TimbralError,
)

__all__ = ["RETRY_AFTER_SECONDS", "Refusal", "ServiceError", "refusal_of"]

RETRY_AFTER_SECONDS = 1
UNUSABLE = 422
AUDIO_STATUS = {
    "too-long": 413,
    "too-large": 413,
    "unreadable": 415,
    "unsupported": 415,
    "missing-extra": 415,
}
"""of an AudioError's kind; all others are recordings that are read and cannot be used"""


class ServiceError(TimbralError):
    """A request that the service refuses before, or instead of, asking the library.

    Attributes:
        status: of HTTP
        kind: one word for programs
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status, self.kind = status, kind

    def __str__(self) -> str:
        return str(self.args[2])


@dataclass(frozen=True)
class Refusal:
    """What the client is told."""

    status: int
    kind: str
    message: str

    @property
    def headers(self) -> dict[str, str]:
        if self.status in (429, 503):
            return {"retry-after": str(RETRY_AFTER_SECONDS)}
        return {"www-authenticate": "Bearer"} if self.status == 401 else {}

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "message": self.message}


def refusal_of(error: TimbralError) -> Refusal:
    """The answer to a request that raised this error."""
    if isinstance(error, ServiceError):
        return Refusal(error.status, error.kind, str(error))
    if isinstance(error, AudioError):
        return Refusal(AUDIO_STATUS.get(error.kind, UNUSABLE), error.kind, str(error))
    if isinstance(error, MissingExtraError):
        return Refusal(501, "missing-extra", str(error))
    if isinstance(error, ConfigError | InputError):
        return Refusal(UNUSABLE, "setting", str(error))
    return Refusal(409 if isinstance(error, DataError) else 500, "data", str(error))
