"""Limits of the HTTP service."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.errors import check_ranges

__all__ = ["ServiceSettings"]


@dataclass(frozen=True)
class ServiceSettings:
    """Limits for a single request and for all requests together."""

    max_upload_mb: float = 20.0
    """largest request in megabytes, with all its files"""
    max_seconds: float = 300.0
    """longest recording in seconds; longer ones are refused before decoding"""
    max_files: int = 10
    """most recordings in one request"""
    max_waiting: int = 64
    """most requests in progress or waiting; more get status 503"""
    max_per_token: int = 0
    """most requests per token in progress or waiting; more get status 429; 0: no limit"""
    timeout_seconds: float = 30.0
    """time limit for an upload to arrive, and again for its answer"""
    threads: int = 16
    """threads that decode recordings and wait for their vectors"""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            "settings",
            max_upload_mb=(0.001, 10_000),
            max_seconds=(1, 100_000),
            max_files=(1, 1000),
            max_waiting=(1, 100_000),
            max_per_token=(0, 100_000),
            timeout_seconds=(0.1, 3600),
            threads=(1, 1000),
        )

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mb * 1e6)
