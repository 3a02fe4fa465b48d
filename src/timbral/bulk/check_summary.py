"""The results of `check`: measures and risks of recordings, and unreadable recordings."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import Risk
from timbral.embeddings.table import write_table
from timbral.errors import AudioError
from timbral.io.outputs import FileKind

__all__ = ["CHECKS", "CheckSummary", "Checked"]


@dataclass(frozen=True)
class Checked:
    """One recording, with its measures and risks."""

    path: str
    quality: Quality
    risks: tuple[Risk, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds of its risks."""
        return [risk.kind for risk in self.risks]

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "quality": self.quality.as_dict(),
            "risks": [asdict(risk) for risk in self.risks],
        }


@dataclass(frozen=True)
class CheckSummary:
    """All checked recordings, in order, and the unreadable ones."""

    recordings: tuple[Checked, ...]
    failures: tuple[AudioError, ...]

    @property
    def num_risky(self) -> int:
        """Number of recordings with at least one risk."""
        return sum(bool(checked.risks) for checked in self.recordings)

    @property
    def risk_counts(self) -> Counter[str]:
        """Number of recordings with each kind of risk."""
        return Counter(kind for checked in self.recordings for kind in checked.kinds)

    def as_dict(self) -> dict[str, Any]:
        """The content of the output of ``--json``; docs/check.md has the schema."""
        return {
            "recordings": [checked.as_dict() for checked in self.recordings],
            "failures": [failure.as_dict() for failure in self.failures],
        }

    def as_json(self) -> str:
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2)

    def table(self) -> pa.Table:
        """A table with one row per recording: path, measures, and kinds of risks."""
        rows = [
            {"path": checked.path, **checked.quality.as_dict(), "risks": checked.kinds}
            for checked in self.recordings
        ]
        return pa.Table.from_pylist(rows, CHECK_SCHEMA)

    def write(self, path: Path) -> None:
        """Write the table as Parquet, or as CSV if the path ends in .csv."""
        table = self.table()
        if path.suffix.lower() == ".csv":  # which has no lists
            names = [" ".join(kinds) for kinds in table["risks"].to_pylist()]
            table = table.set_column(table.num_columns - 1, "risks", pa.array(names, pa.string()))
        write_table(table, path)


CHECK_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("seconds", pa.float64()),
        ("speech_seconds", pa.float64()),
        ("speech_dbfs", pa.float64()),
        ("snr_db", pa.float64()),
        ("bandwidth_hz", pa.float64()),
        ("clipped_fraction", pa.float64()),
        ("num_channels", pa.int64()),
        ("channel_correlation", pa.float64()),
        ("speech_probability", pa.float64()),
        ("music_fraction", pa.float64()),
        ("risks", pa.list_(pa.string())),
    ]
)
CHECKS = FileKind("a table that `check` made", frozenset(CHECK_SCHEMA.names))
