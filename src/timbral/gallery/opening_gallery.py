"""Open the database of a gallery: a file, or a database on a server."""

from __future__ import annotations

from pathlib import Path

from timbral.errors import DataError
from timbral.gallery.database import SCHEMA_VERSION, Database
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.postgres_database import PostgresDatabase
from timbral.gallery.sqlite_database import SqliteDatabase
from timbral.gallery.voice_store import first_row

__all__ = ["create_database", "is_server", "open_database"]

SERVERS = ("postgresql://", "postgres://")


def is_server(location: str | Path) -> bool:
    """Whether a gallery's location is on a server, not a file; DataError for other URLs."""
    text = str(location)
    if text.startswith(SERVERS):
        return True
    if "://" in text:
        raise DataError(
            f"{text}: a gallery is a file on a disk of this machine, or postgresql://USER@HOST/"
            "DATABASE"
        )
    return False


def open_database(location: str | Path) -> Database:
    """Open a gallery's database; DataError if there is none."""
    if is_server(location):
        return PostgresDatabase.open(str(location))
    return SqliteDatabase(Path(location))


def create_database(location: str | Path, encoder: EncoderIdentity) -> Database:
    """Create a gallery's database, or open an existing one."""
    row = first_row(encoder, SCHEMA_VERSION)
    if is_server(location):
        return PostgresDatabase.create(str(location), row)
    return SqliteDatabase.create(Path(location), row)
