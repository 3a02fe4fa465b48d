"""A gallery in PostgreSQL, for several servers at once.

The tables are in a schema named ``timbral_gallery``, so a gallery can share a database with other
tables. A writer locks the row of the table gallery, so writers take turns, and the numbers of
changes become visible in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from timbral.errors import DataError, MissingExtraError, UnavailableError, first_line
from timbral.gallery.connections import Connections
from timbral.gallery.database import SCHEMA, SCHEMA_VERSION, UPGRADES

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresDatabase"]

NAMESPACE = "timbral_gallery"
TYPES = {"key": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bytes": "BYTEA"}
CREATION_LOCK = 0x54494D42
"""number of the advisory lock for creating the tables"""
FILES_OF_TABLES = "SELECT pg_relation_filenode('voices'), pg_relation_filenode('recordings')"
SETTINGS = f"SET search_path TO {NAMESPACE}; SET synchronous_commit TO on"
"""independent of the server's defaults, an acknowledged enrollment is on its disk"""


class PostgresDatabase:
    """A `Database` on a server."""

    def __init__(self, url: str) -> None:
        """Store the URL; `open` and `create` connect."""
        self._url, self.location = url, _without_password(url)
        self._connections = Connections(self._connect, lambda each: not each.closed)
        self.lock = self._connections.lock

    @classmethod
    def open(cls, url: str) -> PostgresDatabase:
        """Raise DataError if the server cannot be reached, or has no gallery there."""
        database = cls(url)
        try:
            database._check()
        except DataError:
            database.close()
            raise
        return database

    @classmethod
    def create(cls, url: str, first_row: Sequence[object]) -> PostgresDatabase:
        """Create the tables and the row of the table gallery, or open an existing gallery."""
        database = cls(url)
        with (
            database._explained(),
            database._connections.for_writing() as connection,
            connection.transaction(),
        ):
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATION_LOCK,))
            existing = connection.execute("SELECT to_regclass(%s)", (f"{NAMESPACE}.gallery",))
            if not existing.fetchall()[0][0]:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {NAMESPACE}")
                for statement in SCHEMA:
                    connection.execute(statement.format(**TYPES))
                marks = ", ".join(["%s"] * len(first_row))
                connection.execute(f"INSERT INTO gallery VALUES ({marks})", first_row)
        database.close()
        return cls.open(url)

    def _check(self) -> None:
        if not self.query("SELECT to_regclass(?)", (f"{NAMESPACE}.gallery",))[0][0]:
            raise DataError(
                f"{self.location}: this database contains no gallery (`timbral enroll` and "
                "Gallery.create make one)"
            )
        while (version := self._version()) in UPGRADES:
            self._upgrade(version)
        if version != SCHEMA_VERSION:
            raise DataError(
                f"{self.location}: is a gallery of version {version}, but this timbral reads "
                f"version {SCHEMA_VERSION}; use the timbral that wrote it, or a newer one"
            )

    def _version(self) -> int:
        return int(self.query("SELECT schema_version FROM gallery")[0][0])

    def _upgrade(self, version: int) -> None:
        """Turn a gallery of this version into one of the next, unless another process has."""
        try:
            with self.writing():  # waits for other processes
                if self._version() == version:
                    for statement in UPGRADES[version]:
                        self.query(statement)
                    self.query("UPDATE gallery SET schema_version = ?", (version + 1,))
        except UnavailableError:
            raise
        except DataError as error:
            raise DataError(
                f"{error}; a gallery of version {version} has to be extended: open it once as the "
                "user who created it, on a server that can be written"
            ) from error

    @property
    def is_writing(self) -> bool:
        return self._connections.is_writing

    def query(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._explained(), self._connections.for_statement() as connection:
            found = connection.execute(sql.replace("?", "%s"), values)
            return found.fetchall() if found.description else []

    def insert(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with (
            self._explained(),
            self._connections.for_statement() as connection,
            connection.cursor() as cursor,
        ):
            cursor.executemany(sql.replace("?", "%s"), rows)

    @contextmanager
    def writing(self) -> Iterator[None]:
        with (
            self._explained(),
            self._connections.for_writing() as connection,
            connection.transaction(),
        ):
            connection.execute("SELECT changes FROM gallery FOR UPDATE")  # waits for others
            with self._connections.inside_transaction():
                yield

    def erase(self) -> bool:
        """Rewrite the tables; False if the server skipped that, because they belong to another
        user.
        """
        with self._explained(), self._connections.for_writing() as connection:
            before = connection.execute(FILES_OF_TABLES).fetchall()[0]
            connection.execute("VACUUM (FULL) voices, recordings")  # only a warning if skipped
            after = connection.execute(FILES_OF_TABLES).fetchall()[0]
        return all(old != new for old, new in zip(before, after, strict=True))

    def close(self) -> None:
        self._connections.close()

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        connection = psycopg.connect(self._url, autocommit=True)
        connection.execute(SETTINGS)
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn psycopg's errors into those of timbral."""
        try:
            import psycopg
        except ImportError:
            raise MissingExtraError("a gallery in PostgreSQL", "gallery") from None
        try:
            yield
        except psycopg.Error as error:
            reason = first_line(error)
            refusal = f"{self.location}: PostgreSQL refuses ({reason})"
            if isinstance(error, psycopg.OperationalError):
                raise UnavailableError(refusal) from error
            raise DataError(refusal) from error


def _without_password(url: str) -> str:
    """The URL without its password, for errors and logs."""
    split = urlsplit(url)
    _, _, host = split.netloc.rpartition("@")
    user = split.username or ""
    return urlunsplit(split._replace(netloc=f"{user}@{host}" if user else host, query=""))
