"""Find a missing recording's likely file: another suffix, or another spelling of its name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

__all__ = ["hint_nearby"]

USUAL_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".WAV", ".FLAC")
"""few, because a list may name many missing files on a slow disk"""


def hint_nearby(path: str) -> str:
    """``; there is NAME`` to append to a message about a missing file; empty if there is none.

    Lists may name wav for flac files, omit the suffix, come from Windows, or write accents as one
    character that are two on disk (Unicode normal forms).
    """
    try:
        for other in _spellings(path):
            if other.is_file():
                return f"; there is {other.name if other.parent == Path(path).parent else other}"
    except (OSError, ValueError):
        pass
    return ""


def _spellings(path: str) -> Iterator[Path]:
    if "\\" in path:
        yield Path(path.replace("\\", "/"))
    for form in ("NFC", "NFD"):
        normal = unicodedata.normalize(form, path)
        if normal != path:
            yield Path(normal)
    named = Path(path)
    if not named.name or not named.parent.is_dir():
        return
    for suffix in USUAL_SUFFIXES:
        yield named.with_name(f"{named.name}{suffix}")
        if named.suffix and named.suffix != suffix:
            yield named.with_suffix(suffix)
