"""What the service allows."""

from __future__ import annotations

from dataclasses import dataclass

from timbral.errors import check_ranges

__all__ = ["ServiceSettings"]


@dataclass(frozen=True)
class ServiceSettings:
    """Limits of what one request, and all of them together, may cost."""

    max_upload_mb: float = 20.0
    """megabytes of one request, all its files together"""
    max_seconds: float = 300.0
    """of one recording; longer ones are refused before they are decoded"""
    max_files: int = 10
    """recordings in one request"""
    max_waiting: int = 64
    """requests that are in work or wait; more are answered with 503"""
    max_per_token: int = 0
    """requests of one token that are in work or wait; more are answered with 429; 0: no limit"""
    timeout_seconds: float = 30.0
    """for an upload to arrive, and again for its answer"""
    threads: int = 16
    """that decode recordings and wait for their vectors"""

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
