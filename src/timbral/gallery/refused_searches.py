"""Scores of recordings that a guard refused because they sound like another voice.

A guard keeps speakers out of a gallery who sound like an enrolled one. So a gallery that only
compared its own voices would never see how similar strangers can be. Therefore the llr of each
refusal is stored, and counts as a search of a speaker who is not enrolled. Neither vectors nor
names are stored: a voice's name is stored as its SHA-256, to find it when it is enrolled later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from timbral.gallery.database import Database

__all__ = ["WHOLE_VOICE", "RefusedSearch", "RefusedSearches", "name_hash"]

WHOLE_VOICE = ""
"""instead of a recording's hash, for all recordings of a voice together"""


@dataclass(frozen=True)
class RefusedSearch:
    """A voice, or one of its recordings, that was too similar to another voice."""

    name_sha256: str
    """SHA-256 of the name under which it should have been enrolled"""
    recording_sha256: str
    """SHA-256 of the recording's vector, or `WHOLE_VOICE`"""
    llr: float
    """llr with the likeliest other voice"""


class RefusedSearches:
    """Reads and writes refused searches; writing requires `VoiceStore.writing`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, name: str, llrs: Mapping[str, float]) -> None:
        """Store refusals by hashes of recordings; the same one replaces an earlier one."""
        self._database.insert(
            "INSERT INTO refused_searches VALUES (?, ?, ?) ON CONFLICT (name_sha256, "
            "recording_sha256) DO UPDATE SET llr = excluded.llr",
            [(name_hash(name), recording, llr) for recording, llr in llrs.items()],
        )

    def forget_voice(self, name: str) -> None:
        """Forget a voice that was enrolled after all, since its recordings now count instead."""
        self._database.query(
            "DELETE FROM refused_searches WHERE name_sha256 = ? AND recording_sha256 = ?",
            (name_hash(name), WHOLE_VOICE),
        )

    def forget(self, name: str) -> None:
        """Forget everything about a voice that was removed."""
        self._database.query(
            "DELETE FROM refused_searches WHERE name_sha256 = ?", (name_hash(name),)
        )

    def all(self) -> list[RefusedSearch]:
        """All refused searches, sorted by their hashes."""
        rows = self._database.query(
            "SELECT name_sha256, recording_sha256, llr FROM refused_searches ORDER BY 1, 2"
        )
        return [RefusedSearch(name, recording, float(llr)) for name, recording, llr in rows]


def name_hash(name: str) -> str:
    """The SHA-256 of a voice's name."""
    return hashlib.sha256(name.encode()).hexdigest()
