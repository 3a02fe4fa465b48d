"""Vectors of real speech with their conditions, for measurements on galleries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timbral.audio.decode import decode
from timbral.audio.quality.measure import measure
from timbral.embeddings.table import read_embeddings, vectors_of
from timbral.embeddings.vectors import unit_length
from timbral.gallery.voices import EnrolledRecording
from timbral.io.threads import map_ahead
from timbral.io.types import Floats, Ints, Vectors

MEASURES = "measures.npz"


@dataclass(frozen=True)
class Material:
    """N recordings: `names`, `speakers` (N,), `vectors` (N, E), `measures` (N, 3)."""

    names: list[str]
    speakers: list[str]
    vectors: Vectors
    measures: Floats
    """net speech, bandwidth, SNR (NaN: no pauses)"""

    @classmethod
    def read(cls, folder: Path) -> Material:
        """Read an `embed` folder; its recordings are measured once, and the measures kept in it."""
        table = read_embeddings(folder)
        names = table["utterance"].to_pylist()
        kept = folder / MEASURES
        if not kept.exists():
            measured = map_ahead(lambda path: measure(*decode(path)), table["path"].to_pylist())
            rows = [(each.speech_seconds, each.bandwidth_hz, each.snr_db) for each in measured]
            np.savez(kept, measures=np.array(rows, dtype=np.float64))
        measures = np.load(kept)["measures"]
        return cls(names, table["speaker"].to_pylist(), unit_length(vectors_of(table)), measures)

    def joined(self, other: Material) -> Material:
        """These recordings, then those of another."""
        return Material(
            [*self.names, *other.names],
            [*self.speakers, *other.speakers],
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.measures, other.measures]),
        )

    def rows_of(self) -> dict[str, Ints]:
        """The rows of each speaker."""
        order: dict[str, list[int]] = {}
        for row, speaker in enumerate(self.speakers):
            order.setdefault(speaker, []).append(row)
        return {speaker: np.array(rows) for speaker, rows in order.items()}

    def recordings(self, rows: Sequence[int] | Ints) -> list[EnrolledRecording]:
        """These rows as recordings to enroll."""
        return [
            EnrolledRecording(
                self.vectors[row],
                self.names[row],
                "",
                0.0,
                float(self.measures[row, 0]),
                float(self.measures[row, 1]),
                None if np.isnan(self.measures[row, 2]) else float(self.measures[row, 2]),
            )
            for row in rows
        ]
