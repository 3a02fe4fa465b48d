"""The totals of a preparation, as in store.json."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from timbral.errors import DataError
from timbral.io.files import read_json

__all__ = ["Totals"]


@dataclass
class Totals:
    """Totals, counted while the indexes are read, and stored in store.json."""

    failures: int = 0
    too_short: int = 0
    hours: float = 0.0
    utterances: int = 0
    speakers: int = 0

    @classmethod
    def read(cls, path: Path) -> Totals:
        """The totals in a store.json; DataError if they are invalid."""
        metadata = read_json(path)
        totals = metadata.get("totals") if isinstance(metadata, dict) else None
        names = {item.name for item in fields(cls)}
        if not isinstance(totals, dict) or totals.keys() != names:
            raise DataError(f"{path}: should contain `totals` of {', '.join(sorted(names))}")
        for name, value in totals.items():
            if type(value) not in (int, float):
                raise DataError(f"{path}: {name} should be a number, got {value!r:.40}")
        return cls(**totals)
