"""A gallery in one file: SQLite, safe for several processes and power failures.

Settings (sqlite.org/pragma.html): WAL, so that readers never wait for the writer; synchronous FULL,
so that a finished transaction survives a power failure; secure_delete, so that deleted data are
overwritten with zeros; incremental auto-vacuum, which frees pages without copying the file.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from timbral.checkpoints.known_names import PUBLISHED_NAMES
from timbral.errors import DataError, UnavailableError
from timbral.gallery.connections import Connections
from timbral.gallery.database import SCHEMA, SCHEMA_VERSION, UPGRADES
from timbral.io.near_names import beside
from timbral.io.temporary import empty_temporary_folder

__all__ = ["SqliteDatabase", "galleries_beside"]

APPLICATION_ID = 0x54494D42
"""``TIMB``, in the header of the file"""
BUSY_SECONDS = 30.0
"""how long a writer waits for another writer"""
ERASE_SECONDS = 5.0
"""how long `erase` waits for readers that still see deleted data"""
MAGIC = b"SQLite format 3\0"
PAGE_BYTES = 512
"""a file has a multiple of this size, so few other files have to be opened to be told from it"""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
TYPES = {"key": "INTEGER PRIMARY KEY AUTOINCREMENT", "bytes": "BLOB"}
"""AUTOINCREMENT: the number of a removed voice is never used again"""


class SqliteDatabase:
    """A `Database` in a file, for any number of processes on one machine."""

    def __init__(self, path: Path) -> None:
        """Open an existing file; DataError if it is not a gallery."""
        self.path, self.location = path, str(path)
        self._connections = Connections(lambda: _connect(path), lambda _: True)
        self.lock = self._connections.lock
        _check_header(path)
        try:
            self._check()
        except DataError:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, first_row: Sequence[object]) -> SqliteDatabase:
        """Create the file with its tables and the row of the table gallery, or open an existing
        one.
        """
        if not path.exists() or path.stat().st_size == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            with empty_temporary_folder(path) as folder:
                _write_new(folder / "new.db", first_row)
                _give_name(folder / "new.db", path)
        return cls(path)

    def _check(self) -> None:
        if self._pragma("application_id") != APPLICATION_ID:
            raise DataError(f"{self.path}: is an SQLite database of another program, not a gallery")
        while (version := self._pragma("user_version")) in UPGRADES:
            self._upgrade(version)
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{self.path}: is a gallery of version {version}, but this timbral reads version "
                f"{SCHEMA_VERSION}; use the timbral that wrote it, or a newer one"
            )

    def _pragma(self, name: str) -> int:
        return int(self.query(f"PRAGMA {name}")[0][0])

    def _upgrade(self, version: int) -> None:
        """Turn a gallery of this version into one of the next, unless another process has."""
        with self.writing():
            if self._pragma("user_version") == version:
                for statement in UPGRADES[version]:
                    self.query(statement)
                self.query("UPDATE gallery SET schema_version = ?", (version + 1,))
                self.query(f"PRAGMA user_version = {version + 1}")

    @property
    def is_writing(self) -> bool:
        return self._connections.is_writing

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._explained(), self._connections.for_statement() as connection:
            return connection.execute(sql, values).fetchall()

    def insert(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._explained(), self._connections.for_statement() as connection:
            connection.executemany(sql, rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._explained(), self._connections.for_writing() as connection:
            connection.execute("BEGIN IMMEDIATE")  # waits for other processes
            with self._connections.inside_transaction():
                try:
                    yield
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise

    def erase(self) -> bool:
        until = monotonic() + ERASE_SECONDS
        with self._explained(), self._connections.for_writing() as connection:
            connection.execute("PRAGMA busy_timeout = 50")
            try:
                while not (erased := _erased(connection)) and monotonic() < until:
                    sleep(0.05)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS:.0f}")
        return erased

    def close(self) -> None:
        self._connections.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors into those of timbral."""
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error


def _erased(connection: sqlite3.Connection) -> bool:
    """Free unused pages and empty the log; False while another process reads or writes."""
    try:
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False


def galleries_beside(path: Path) -> str:
    """``; did you mean …?`` or the galleries beside a missing one, for its error."""
    return beside(path, _may_be_gallery)


def _may_be_gallery(path: Path) -> bool:
    try:
        if not path.is_file() or path.stat().st_size % PAGE_BYTES:
            return False
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _check_header(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: is a link to {path.readlink()}, which does not exist")
    if not path.exists() and str(path) in PUBLISHED_NAMES:
        raise DataError(f"{path}: is the name of an encoder, not a gallery; give it as `encoder`")
    if not path.exists():
        raise DataError(
            f"{path}: no such gallery{galleries_beside(path)} "
            "(`timbral enroll … --encoder ENCODER` and Gallery.create make one)"
        )
    if path.is_dir():
        raise DataError(f"{path}: is a folder; a gallery is one file")
    with open(path, "rb") as file:
        head = file.read(len(MAGIC))
    if head == MAGIC:
        return
    from timbral.inference.exported_model import EXPORTED_MODEL  # imports numpy

    if EXPORTED_MODEL.is_in(path):
        raise DataError(f"{path}: is an exported model, not a gallery; give it as `encoder`")
    raise DataError(f"{path}: is another kind of file, not a gallery; choose another")


def _connect(path: Path) -> sqlite3.Connection:
    """Open an existing file; SQLite by itself would create a missing one."""
    uri = f"file:{quote(os.path.abspath(path))}?mode=rw"
    try:
        connection = sqlite3.connect(
            uri, BUSY_SECONDS, uri=True, check_same_thread=False, isolation_level=None
        )
        for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    return connection


def _write_new(path: Path, first_row: Sequence[object]) -> None:
    """Write a complete, closed database under a temporary name."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            connection.execute(statement.format(**TYPES))
        marks = ", ".join("?" * len(first_row))
        connection.execute(f"INSERT INTO gallery VALUES ({marks})", first_row)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _explain(error, path) from error
    finally:
        connection.close()


def _give_name(temporary: Path, path: Path) -> None:
    """Give a new file its name, unless another process was faster; then its file stays."""
    if path.exists() and path.stat().st_size == 0:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            os.replace(temporary, path)


def _explain(error: sqlite3.Error, path: Path) -> Exception:
    """The error of timbral for an error of SQLite, with what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the lowest byte is the primary code
    if code == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, "the disk is full; free some space and start again", str(path))
    if code == sqlite3.SQLITE_BUSY:
        return UnavailableError(
            f"{path}: another process has been writing for {BUSY_SECONDS:g} s; try again later"
        )
    if code in DAMAGED:
        return DataError(f"{path}: is damaged ({error}); restore it from a backup")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return DataError(
            f"{path}: cannot be opened for writing ({error}); a gallery needs write permission for "
            "its file and its folder, and a file system with locks"
        )
    return DataError(f"{path}: cannot be used as a gallery ({error})")
