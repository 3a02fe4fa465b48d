"""The interface of a gallery to its database, and the tables of a gallery."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["SCHEMA", "SCHEMA_VERSION", "UPGRADES", "Database"]

SCHEMA_VERSION = 4
SCHEMA = (
    """CREATE TABLE gallery (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        schema_version INTEGER NOT NULL,
        encoder TEXT NOT NULL,
        weights_sha256 TEXT NOT NULL,
        embedding_sha256 TEXT NOT NULL,
        embedding_dim INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        changes BIGINT NOT NULL DEFAULT 0,
        migration TEXT NOT NULL DEFAULT ''
    )""",
    """CREATE TABLE voices (
        id {key},
        name TEXT NOT NULL UNIQUE,
        vector {bytes} NOT NULL,
        num_recordings INTEGER NOT NULL,
        speech_seconds DOUBLE PRECISION NOT NULL,
        bandwidth_hz DOUBLE PRECISION NOT NULL,
        snr_db DOUBLE PRECISION NOT NULL,
        created_at TEXT NOT NULL,
        consent TEXT NOT NULL,
        consent_at TEXT NOT NULL,
        enroll_again TEXT NOT NULL,
        changed BIGINT NOT NULL,
        mapped INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX voices_changed ON voices (changed)",
    """CREATE TABLE recordings (
        id {key},
        voice_id BIGINT NOT NULL REFERENCES voices (id) ON DELETE CASCADE,
        vector {bytes} NOT NULL,
        source TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        duration_seconds DOUBLE PRECISION NOT NULL,
        speech_seconds DOUBLE PRECISION,
        bandwidth_hz DOUBLE PRECISION,
        snr_db DOUBLE PRECISION,
        risks TEXT NOT NULL,
        added_at TEXT NOT NULL,
        mapped INTEGER NOT NULL DEFAULT 0,
        precision TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX recordings_voice ON recordings (voice_id)",
    "CREATE INDEX recordings_sha256 ON recordings (sha256)",
    "CREATE INDEX recordings_precision ON recordings (precision)",
    """CREATE TABLE removed_voices (
        voice_id BIGINT PRIMARY KEY,
        changed BIGINT NOT NULL
    )""",
    "CREATE INDEX removed_voices_changed ON removed_voices (changed)",
    """CREATE TABLE refused_searches (
        name_sha256 TEXT NOT NULL,
        recording_sha256 TEXT NOT NULL,
        llr DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (name_sha256, recording_sha256)
    )""",
)
"""`changes` counts the transactions that wrote. Rows have the number of the last transaction that
changed them, so that a process reads only what others have changed. Only a number remains of a
voice that was removed. `key` and `bytes` are types that differ between databases."""
UPGRADES = {
    3: (
        "ALTER TABLE recordings ADD COLUMN precision TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX recordings_precision ON recordings (precision)",
    )
}
"""for each older version, the statements that turn its galleries into those of the next version
when they are opened; processes of the old version that have them open are not disturbed"""


class Database(Protocol):
    """A database with one gallery. SQL has ``?`` for values. Threads take turns."""

    location: str
    """its name in errors"""
    lock: threading.RLock
    """held while a statement runs, and by `writing` as soon as it may write"""

    @property
    def is_writing(self) -> bool:
        """Whether this thread is inside `writing`."""

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, and return its rows."""

    def insert(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each of many rows of values."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction of the only writer; after an error, nothing of it is kept.

        When it ends without an error, all of it is on disk. It cannot be nested. While it waits for
        other writers, other threads can read.
        """

    def erase(self) -> bool:
        """Overwrite deleted data in every file; False while another process still reads them, or
        if this user of a server may not.
        """

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
