"""What a guard refused because it sounds like another voice: searches that must not be forgotten.

A guard keeps out of a gallery who is like somebody in it. A gallery that only looked at its own
voices would never see how alike strangers can be. So of each refusal a number is kept, and counts
as a search of somebody who is not enrolled. Neither vectors nor names of those who were refused
are: a voice's name is kept as its SHA-256, by which it is found when it is enrolled after all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from timbral.gallery.database import Database

__all__ = ["WHOLE_VOICE", "RefusedSearch", "RefusedSearches", "name_hash"]

WHOLE_VOICE = ""
"""stands for all recordings of a voice together, where else a recording's hash is"""


@dataclass(frozen=True)
class RefusedSearch:
    """A voice, or one of its recordings, that was too much like another voice."""

    name_sha256: str
    """of the name under which it was to be enrolled"""
    recording_sha256: str
    """of the recording's vector, or `WHOLE_VOICE`"""
    llr: float
    """of it and the likeliest other voice, as it was refused"""


class RefusedSearches:
    """Reads and writes them; whoever writes stands inside `VoiceStore.writing`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, name: str, llrs: Mapping[str, float]) -> None:
        """Keep what was refused, by hashes of recordings; the same one again replaces itself."""
        self._database.insert(
            "INSERT INTO refused_searches VALUES (?, ?, ?) ON CONFLICT (name_sha256, "
            "recording_sha256) DO UPDATE SET llr = excluded.llr",
            [(name_hash(name), recording, llr) for recording, llr in llrs.items()],
        )

    def forget_voice(self, name: str) -> None:
        """A voice was enrolled after all, so that its own recordings tell of it."""
        self._database.query(
            "DELETE FROM refused_searches WHERE name_sha256 = ? AND recording_sha256 = ?",
            (name_hash(name), WHOLE_VOICE),
        )

    def forget(self, name: str) -> None:
        """A voice was removed, and with it all that is known of it."""
        self._database.query(
            "DELETE FROM refused_searches WHERE name_sha256 = ?", (name_hash(name),)
        )

    def all(self) -> list[RefusedSearch]:
        """Every one, in the order of the hashes."""
        rows = self._database.query(
            "SELECT name_sha256, recording_sha256, llr FROM refused_searches ORDER BY 1, 2"
        )
        return [RefusedSearch(name, recording, float(llr)) for name, recording, llr in rows]


def name_hash(name: str) -> str:
    """The SHA-256 of a voice's name."""
    return hashlib.sha256(name.encode()).hexdigest()
