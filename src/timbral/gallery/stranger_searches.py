"""Searches whose speaker is known not to be there: of each voice's recordings among the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from timbral.embeddings.named_vectors import NamedVectors
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.gallery.search_rates import StrangerSearches
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import EnrolledRecording, conditions_of
from timbral.io.types import Floats, Ints

if TYPE_CHECKING:
    from timbral.gallery.gallery import Gallery

__all__ = ["stranger_searches"]

MOST_VOICES = 2000
"""of a gallery, spread over it, whose recordings are searched: they tell of rates down to 0.15 %"""
MOST_RECORDINGS = 5
"""of a voice: more of the same speaker tell little"""
BLOCK = 256


def stranger_searches(
    gallery: Gallery, voices: Voices, strangers: NamedVectors | None
) -> StrangerSearches | None:
    """The best llr of searches of enrolled recordings among the other voices, and of strangers.

    None where there is nothing to search. Recordings that a migration mapped are passed over: those
    that will be searched are embedded, not mapped.
    """
    best: list[Floats] = []
    speakers: list[Ints] = []
    rows = np.arange(voices.count)
    if voices.count > MOST_VOICES:
        rows = np.linspace(0, voices.count - 1, MOST_VOICES).astype(np.intp)
    used = 0
    for owners, recordings in _blocks(_enrolled(gallery, voices, rows)):
        vectors = unit_length(np.stack([each.vector for each in recordings]))
        best.append(voices.best(vectors, conditions_of(recordings), exclude=owners))
        speakers.append(owners)
        used += len(np.unique(owners))
    independent = used / (1.0 + used / max(voices.count, 1))
    if strangers is not None:
        found, of_strangers, count = _of_strangers(gallery, voices, strangers)
        best.append(found)
        speakers.append(of_strangers + voices.count)
        independent += count
    if not best:
        return None
    return StrangerSearches.of(np.concatenate(best), np.concatenate(speakers), independent)


def _enrolled(
    gallery: Gallery, voices: Voices, rows: Ints
) -> Iterator[tuple[int, EnrolledRecording]]:
    if voices.count < 2:  # nobody else is there
        return
    for row in rows.tolist():
        try:
            voice = gallery.voice(voices.names[row])
        except DataError:  # another process has just removed it
            continue
        for each in voice.recordings[:MOST_RECORDINGS]:
            yield row, each


def _blocks(
    recordings: Iterator[tuple[int, EnrolledRecording]],
) -> Iterator[tuple[Ints, Sequence[EnrolledRecording]]]:
    """Whole voices, about `BLOCK` recordings at a time."""
    owners: list[int] = []
    held: list[EnrolledRecording] = []
    for owner, each in recordings:
        if len(held) >= BLOCK and owner != owners[-1]:
            yield np.array(owners), held
            owners, held = [], []
        owners.append(owner)
        held.append(each)
    if held:
        yield np.array(owners), held


def _of_strangers(
    gallery: Gallery, voices: Voices, strangers: NamedVectors
) -> tuple[Floats, Ints, int]:
    """The best llr of each vector, its speaker's number, and how many speakers there are."""
    if strangers.vectors.shape[1] != gallery.encoder.embedding_dim or (
        strangers.weights_sha256 not in ("", gallery.encoder.weights_sha256)
    ):
        raise DataError(
            f"strangers: are vectors of {strangers.encoder or 'another encoder'}, and those of the "
            f"gallery are of {gallery.encoder}"
        )
    names = strangers.names if strangers.speakers is None else strangers.speakers
    distinct, numbers = np.unique(np.asarray(names), return_inverse=True)
    conditions = conditions_of(_as_recordings(strangers))
    best = [
        voices.best(
            unit_length(strangers.vectors[start : start + BLOCK]),
            conditions.rows(slice(start, start + BLOCK)),
        )
        for start in range(0, len(names), BLOCK)
    ]
    return np.concatenate(best), numbers.astype(np.intp), len(distinct)


def _as_recordings(strangers: NamedVectors) -> list[EnrolledRecording]:
    """Vectors with what their table says of their conditions."""
    seconds, speech = _numbers(strangers, "duration"), _numbers(strangers, "speech_seconds")
    return [
        EnrolledRecording(vector, name, duration_seconds=length or 4.0, speech_seconds=net or None)
        for name, vector, length, net in zip(
            strangers.names.to_pylist(), strangers.vectors, seconds, speech, strict=True
        )
    ]


def _numbers(strangers: NamedVectors, column: str) -> list[float]:
    """Of a column; 0 where it says nothing."""
    values = strangers.columns.get(column)
    if values is None:
        return [0.0] * len(strangers.names)
    return [float(each or 0.0) for each in pa.array(values).to_pylist()]
