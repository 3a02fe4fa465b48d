"""Read recordings in threads, and embed them together, to search them in a gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timbral.audio.decode import Wave
from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import is_speech
from timbral.calibration.conditions import Conditions
from timbral.calibration.risk_warnings import is_narrow, risk_warnings
from timbral.embeddings.vectors import finite_rows
from timbral.errors import AudioError
from timbral.inference.recordings import name_of, no_finite_vector
from timbral.io.threads import map_ahead
from timbral.io.types import Vectors

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["SearchedRecording", "read_recordings"]

SECONDS_TOGETHER = 64.0
"""seconds of audio that are embedded together"""


@dataclass(frozen=True)
class SearchedRecording:
    """A recording's vector (E,) and measures."""

    name: str
    vector: Vectors
    quality: Quality

    @property
    def holds_speech(self) -> bool:
        return is_speech(self.quality)

    @property
    def conditions(self) -> Conditions:
        return Conditions.of([self.quality])

    def risks(self, narrow_voice: bool = False) -> tuple[str, ...]:
        """The recording's risks, as text.

        `narrow_voice`: a calibration compares it with a voice of telephone recordings.
        """
        narrow = narrow_voice and is_narrow(self.quality.bandwidth_hz)
        return tuple(risk_warnings([(self.name, self.quality)], narrow_allowed=narrow))


def read_recordings(
    embedder: Embedder,
    recordings: Sequence[object],
    sample_rate: float | None,
    names: Sequence[str] | None,
) -> Iterator[SearchedRecording | AudioError]:
    """The recordings in order, or an error for one that cannot be used."""
    called = names or [name_of(each, f"recordings[{n}]") for n, each in enumerate(recordings)]

    def load(row: int) -> tuple[Wave, Quality] | AudioError:
        return embedder.loader.try_load_measured(recordings[row], called[row], sample_rate)

    pending: list[tuple[str, tuple[Wave, Quality] | AudioError]] = []
    samples = 0
    for name, loaded in zip(called, map_ahead(load, range(len(recordings))), strict=True):
        pending.append((name, loaded))
        samples += 0 if isinstance(loaded, AudioError) else len(loaded[0])
        if samples >= SECONDS_TOGETHER * embedder.sample_rate:
            yield from _embed(embedder, pending)
            pending, samples = [], 0
    yield from _embed(embedder, pending)


def _embed(
    embedder: Embedder, pending: Sequence[tuple[str, tuple[Wave, Quality] | AudioError]]
) -> Iterator[SearchedRecording | AudioError]:
    waves = [loaded[0] for _, loaded in pending if not isinstance(loaded, AudioError)]
    vectors = iter(embedder.encode_preprocessed(waves)) if waves else iter(())
    for name, loaded in pending:
        if isinstance(loaded, AudioError):
            yield loaded
            continue
        vector = next(vectors)
        yield (
            SearchedRecording(name, vector, loaded[1])
            if finite_rows(vector)
            else no_finite_vector(name)
        )
