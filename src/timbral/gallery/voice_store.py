"""Voices in a database: all SQL statements of a gallery."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from timbral.errors import DataError
from timbral.gallery.database import Database
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.refused_searches import RefusedSearch, RefusedSearches
from timbral.gallery.voice_names import check_consent
from timbral.gallery.voice_rows import (
    RECORDING_COLUMNS,
    VOICE_COLUMNS,
    bytes_of,
    checked_text,
    checked_whole,
    recording_of,
    summary_of,
    values_of,
    vectors_of,
)
from timbral.gallery.voices import (
    EnrolledRecording,
    Voice,
    VoiceSummary,
    conditions_of,
    counted,
    voice_vector,
)
from timbral.io.types import Floats, Vectors

__all__ = ["VoiceBlock", "VoiceStore", "first_row", "now"]

BLOCK_VOICES = 10_000
"""rows per read, so that a gallery of a million is not in memory twice"""
LARGEST_ID = 2**62
INSERT_RECORDING = (
    f"INSERT INTO recordings (voice_id, {RECORDING_COLUMNS}) VALUES "
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def now() -> str:
    """The current time in UTC, to the second, as stored in the tables."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def first_row(encoder: EncoderIdentity, schema_version: int) -> tuple[object, ...]:
    """The first row of the table gallery."""
    return (
        1,
        schema_version,
        encoder.name,
        encoder.weights_sha256,
        encoder.embedding_sha256,
        encoder.embedding_dim,
        now(),
        0,
        "",
    )


@dataclass(frozen=True)
class VoiceBlock:
    """What a search needs about some voices."""

    ids: list[int]
    names: list[str]
    vectors: Vectors
    """(N, E)"""
    conditions: Floats
    """(N, 4): net speech in seconds, bandwidth in hertz and SNR in dB of all recordings together,
    and 1 for voices with mapped vectors, else 0"""


class VoiceStore:
    """Reads and writes voices. Writing requires `writing`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._refused = RefusedSearches(database)
        self._change = 0
        self.wrote = False

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is writing."""
        return self.database.is_writing

    @property
    def location(self) -> str:
        return self.database.location

    def encoder(self) -> EncoderIdentity:
        rows = self.database.query(
            "SELECT encoder, weights_sha256, embedding_sha256, embedding_dim FROM gallery"
        )
        if not rows:
            raise DataError(f"{self.location}: is damaged (its encoder is missing)")
        with self._reporting_damage():
            name, weights, embedding, size = rows[0]
            return EncoderIdentity(
                checked_text(name),
                checked_text(weights),
                checked_text(embedding),
                checked_whole(size),
            )

    def migration(self) -> str:
        """The text from `set_migration`; empty for a gallery that was not migrated."""
        return str(self.database.query("SELECT migration FROM gallery")[0][0])

    def set_migration(self, content: str) -> None:
        """Store how mapped vectors are compared with those of the encoder."""
        self.wrote = True
        self.database.query("UPDATE gallery SET migration = ?", (content,))

    def keep_notes(self, summary: VoiceSummary, enroll_again: str) -> None:
        """Copy the dates and notes of the same voice in another gallery."""
        self.database.query(
            "UPDATE voices SET created_at = ?, consent = ?, consent_at = ?, enroll_again = ? "
            "WHERE name = ?",
            (summary.created_at, summary.consent, summary.consent_at, enroll_again, summary.name),
        )

    def count(self) -> int:
        """How many voices are enrolled."""
        return int(self.database.query("SELECT count(*) FROM voices")[0][0])

    def precisions(self) -> dict[str, int]:
        """How many recordings have vectors of each precision; empty if unknown."""
        rows = self.database.query(
            "SELECT precision, count(*) FROM recordings GROUP BY precision ORDER BY precision"
        )
        with self._reporting_damage():
            return {checked_text(name): checked_whole(number) for name, number in rows}

    def some_precisions(self) -> set[str]:
        """The first and the last precision of vectors by name, if any are known, by the index."""
        ends = [
            self.database.query(f"SELECT {end}(precision) FROM recordings WHERE precision > ''")
            for end in ("min", "max")
        ]
        return {name for [(name,)] in ends if name}

    def changes(self) -> int:
        """The number of the last transaction that wrote."""
        with self._reporting_damage():
            return checked_whole(self.database.query("SELECT changes FROM gallery")[0][0])

    def changed_since(self, change: int) -> Iterator[VoiceBlock]:
        """The voices changed by later transactions.

        In the order of the index on `changed`; sorted by id, a database might read all rows.
        """
        last = (change, LARGEST_ID)
        while rows := self.database.query(
            "SELECT id, name, vector, speech_seconds, bandwidth_hz, snr_db, mapped, changed "
            "FROM voices WHERE (changed, id) > (?, ?) ORDER BY changed, id LIMIT ?",
            (*last, BLOCK_VOICES),
        ):
            last = rows[-1][7], rows[-1][0]
            with self._reporting_damage():
                block = VoiceBlock(
                    [row[0] for row in rows],
                    [checked_text(row[1]) for row in rows],
                    vectors_of([row[2] for row in rows], self._size),
                    np.array([row[3:7] for row in rows], np.float64),
                )
            yield block

    def removed_since(self, change: int) -> list[int]:
        """The numbers of the voices removed by later transactions."""
        rows = self.database.query(
            "SELECT voice_id FROM removed_voices WHERE changed > ?", (change,)
        )
        return [row[0] for row in rows]

    def summaries(self) -> Iterator[VoiceSummary]:
        """Every voice without its vectors, in any order."""
        for row in self.database.query(f"SELECT {VOICE_COLUMNS} FROM voices"):
            yield self._summary(row)

    def voice(self, name: str) -> Voice | None:
        """A voice with its recordings in order of enrollment; None if there is no such voice."""
        rows = self.database.query(
            f"SELECT id, {VOICE_COLUMNS} FROM voices WHERE name = ?", (name,)
        )
        if not rows:
            return None
        return Voice(self._summary(rows[0][1:]), self._recordings(rows[0][0]))

    def all_recordings(self) -> Iterator[list[tuple[str, EnrolledRecording]]]:
        """Every recording with its voice's name, in blocks; those of a voice are consecutive."""
        last = (0, 0)
        columns = ", ".join(f"recordings.{name}" for name in RECORDING_COLUMNS.split(", "))
        while rows := self.database.query(
            f"SELECT name, voice_id, {columns}, recordings.id FROM recordings "
            "JOIN voices ON voices.id = voice_id WHERE voice_id > ? OR "
            "(voice_id = ? AND recordings.id > ?) ORDER BY voice_id, recordings.id LIMIT ?",
            (last[0], *last, BLOCK_VOICES),
        ):
            last = rows[-1][1], rows[-1][-1]
            with self._reporting_damage():
                block = [(checked_text(row[0]), recording_of(row[2:], self._size)) for row in rows]
            yield block

    def owners(self, hashes: Iterable[str]) -> dict[str, str]:
        """The names of voices by the hashes of their enrolled recordings."""
        wanted = [each for each in dict.fromkeys(hashes) if each]
        found = {}
        for each in wanted:
            rows = self.database.query(
                "SELECT name FROM voices JOIN recordings ON voices.id = voice_id WHERE sha256 = ?",
                (each,),
            )
            if rows:
                found[each] = str(rows[0][0])
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction; see `Database.writing`. Others write before or after it."""
        with self.database.writing():
            self._change, self.wrote = self.changes() + 1, False
            yield
            if self.wrote:  # last, so that concurrent reads still have the old number
                self.database.query("UPDATE gallery SET changes = ?", (self._change,))

    def add(
        self,
        name: str,
        recordings: Sequence[EnrolledRecording],
        consent: str | None = None,
        enroll_again: str | None = None,
    ) -> int:
        """Add recordings to a voice, which is created if needed; returns its number.

        If `consent` or `enroll_again` is None, the stored value stays.
        """
        if consent is not None:
            check_consent(consent)
        self.wrote = True
        self._refused.forget_voice(name)
        time = now()
        ids = self.database.query("SELECT id FROM voices WHERE name = ?", (name,))
        before = self._recordings(ids[0][0]) if ids else ()
        id = ids[0][0] if ids else self._insert_voice(name, recordings, time)
        self.database.insert(INSERT_RECORDING, [values_of(id, each, time) for each in recordings])
        self._set_voice(id, [*before, *recordings])
        if consent is not None:
            self.database.query(
                "UPDATE voices SET consent = ?, consent_at = ? WHERE id = ?", (consent, time, id)
            )
        if enroll_again is not None:
            self.database.query(
                "UPDATE voices SET enroll_again = ? WHERE id = ?", (enroll_again, id)
            )
        return int(id)

    def remove(self, name: str) -> None:
        """Delete an existing voice."""
        self.wrote = True
        self._refused.forget(name)
        id = self._id(name)
        self.database.query("DELETE FROM recordings WHERE voice_id = ?", (id,))
        self.database.query("DELETE FROM voices WHERE id = ?", (id,))
        self.database.query("INSERT INTO removed_voices VALUES (?, ?)", (id, self._change))

    def remove_recordings(self, name: str, ids: Sequence[int]) -> None:
        """Delete some recordings of a voice, but not all."""
        self.wrote = True
        voice = self._id(name)
        for id in ids:
            self.database.query("DELETE FROM recordings WHERE id = ? AND voice_id = ?", (id, voice))
        self._set_voice(voice, self._recordings(voice))

    def merge(self, into: str, other: str) -> None:
        """Move all recordings and notes of the voice `other` to `into`, and delete `other`."""
        target, source = self._id(into), self._id(other)
        notes = [
            self.database.query("SELECT consent, consent_at FROM voices WHERE id = ?", (id,))[0]
            for id in (target, source)
        ]
        consents = dict.fromkeys(consent for consent, _ in notes if consent)
        noted = [at for consent, at in notes if consent]
        self.database.query(
            "UPDATE voices SET consent = ?, consent_at = ? WHERE id = ?",
            ("; ".join(consents), max(noted, default=""), target),
        )
        self.database.query(
            "UPDATE recordings SET voice_id = ? WHERE voice_id = ?", (target, source)
        )
        self.remove(other)
        self._set_voice(target, self._recordings(target))

    def rename(self, name: str, new_name: str) -> None:
        """Rename a voice; no other voice has the new name."""
        self.wrote = True
        self.database.query(
            "UPDATE voices SET name = ?, changed = ? WHERE id = ?",
            (new_name, self._change, self._id(name)),
        )

    def note_refused(self, name: str, llrs: Mapping[str, float]) -> None:
        """Store the llrs of refused recordings: see `RefusedSearches`."""
        self.wrote = True
        self._refused.note(name, llrs)

    def refused_searches(self) -> list[RefusedSearch]:
        """Scores of recordings that were refused because they sound like another voice."""
        with self._reporting_damage():
            return self._refused.all()

    def _id(self, name: str) -> int:
        return int(self.database.query("SELECT id FROM voices WHERE name = ?", (name,))[0][0])

    def _recordings(self, voice: int) -> tuple[EnrolledRecording, ...]:
        rows = self.database.query(
            f"SELECT {RECORDING_COLUMNS}, id FROM recordings WHERE voice_id = ? ORDER BY id",
            (voice,),
        )
        with self._reporting_damage():
            return tuple(recording_of(row, self._size) for row in rows)

    def _summary(self, row: tuple[Any, ...]) -> VoiceSummary:
        """The voice in a row of `VOICE_COLUMNS`."""
        with self._reporting_damage():
            return summary_of(row)

    @cached_property
    def _size(self) -> int:
        """E"""
        return self.encoder().embedding_dim

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        """Within this, a row that timbral did not write is reported as damage."""
        try:
            yield
        except (TypeError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.location}: is damaged ({reason}); restore it from a backup"
            ) from None

    def _insert_voice(self, name: str, recordings: Sequence[EnrolledRecording], time: str) -> int:
        rows = self.database.query(
            "INSERT INTO voices (name, vector, num_recordings, speech_seconds, bandwidth_hz, "
            "snr_db, created_at, consent, consent_at, enroll_again, changed) "
            "VALUES (?, ?, 0, 0, 0, 0, ?, '', '', '', ?) RETURNING id",
            (name, b"", time, self._change),
        )
        return int(rows[0][0])

    def _set_voice(self, id: int, recordings: Sequence[EnrolledRecording]) -> None:
        """Update the columns that follow from a voice's recordings."""
        used = counted(recordings)
        together = conditions_of(used).together
        self.database.query(
            "UPDATE voices SET vector = ?, num_recordings = ?, speech_seconds = ?, "
            "bandwidth_hz = ?, snr_db = ?, changed = ?, mapped = ? WHERE id = ?",
            (
                bytes_of(voice_vector(recordings)),
                len(recordings),
                float(together.speech_seconds[0]),
                float(together.bandwidth_hz[0]),
                float(together.snr_db[0]),
                self._change,
                int(used[0].mapped),
                id,
            ),
        )
