"""Search the recordings of each voice among the other voices, whose speakers differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.gallery.refused_searches import name_hash
from timbral.gallery.search_rates import StrangerSearches
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import EnrolledRecording, conditions_of
from timbral.io.types import Floats, Ints

if TYPE_CHECKING:
    from timbral.gallery.gallery import Gallery

__all__ = ["Strangers", "stranger_searches"]

Strangers = Iterable[tuple[str, Sequence[EnrolledRecording]]]
"""speakers with their recordings"""
MOST_VOICES = 2000
"""maximum number of voices, spread over the gallery, whose recordings are searched; enough for
rates down to 0.15 %"""
MOST_RECORDINGS = 5
"""maximum number of recordings per voice; more of the same speaker add little"""
BLOCK = 256


def stranger_searches(
    gallery: Gallery,
    voices: Voices,
    strangers: Strangers = (),
    *,
    shorter_than: float = math.inf,
) -> StrangerSearches | None:
    """The best llrs of enrolled recordings among the other voices, and of strangers.

    Speakers whom the guard refused as too similar to another voice count as strangers. Only
    recordings with less net speech than `shorter_than` seconds are searched. The length of refused
    ones is unknown, so the fraction of them is used that equals the fraction of voices with such
    recordings.

    None if there is nothing to search. Recordings mapped by a migration are left out, because
    recordings to be searched are embedded, not mapped.
    """
    best: list[Floats] = []
    speakers: list[Ints] = []
    rows = np.arange(voices.count)
    if voices.count > MOST_VOICES:
        rows = np.linspace(0, voices.count - 1, MOST_VOICES).astype(np.intp)
    used = 0
    for owners, recordings in _blocks(_enrolled(gallery, voices, rows, shorter_than)):
        vectors = unit_length(np.stack([each.vector for each in recordings]))
        best.append(voices.best(vectors, conditions_of(recordings), exclude=owners))
        speakers.append(owners)
        used += len(np.unique(owners))
    independent = used / (1.0 + used / max(voices.count, 1))
    if shorter_than < math.inf:
        rows = np.unique(np.concatenate([np.empty(0, np.intp), *speakers]))
    found, of_strangers, count = _of_strangers(voices, strangers, shorter_than)
    refused, owners = _refused(gallery, voices, rows, voices.count + count + 1)
    best, speakers = [*best, *found, refused], [*speakers, *of_strangers, owners]
    if len(refused):
        independent = (used + len(np.unique(owners[owners >= voices.count]))) / 2
    every = np.concatenate(best)
    if not len(every):
        return None
    pairs = np.where(np.arange(len(every)) < len(every) - len(refused), 1.0, 2.0)
    return StrangerSearches.of(every, np.concatenate(speakers), independent + count, pairs)


def _refused(
    gallery: Gallery, voices: Voices, rows: Ints, first_number: int
) -> tuple[Floats, Ints]:
    """The llr of each search that the guard refused, and its owner.

    If other recordings of its voice are enrolled, the owner is that voice's number; else it is a
    stranger, numbered from `first_number` on. If only some voices (`rows`) of the gallery are
    searched, the same fraction of refused searches is used.
    """
    noted = gallery.refused_searches()
    if not noted or voices.count < 2:
        return np.empty(0), np.empty(0, np.int64)
    row_of = {name_hash(name): row for row, name in enumerate(voices.names)}
    searched = set(rows.tolist())
    fraction = len(rows) / voices.count
    best, owners, numbers = [], [], dict[str, int]()
    for each in noted:
        row = row_of.get(each.name_sha256)
        if row is None:
            if int(each.name_sha256[:8], 16) >= fraction * 16**8:
                continue
            row = numbers.setdefault(each.name_sha256, first_number + len(numbers))
        elif row not in searched:
            continue
        best.append(each.llr)
        owners.append(row)
    return np.array(best, np.float64), np.array(owners, np.int64)


def _enrolled(
    gallery: Gallery, voices: Voices, rows: Ints, shorter_than: float
) -> Iterator[tuple[int, EnrolledRecording]]:
    if voices.count < 2:  # there is no other voice
        return
    for row in rows.tolist():
        try:
            voice = gallery.voice(voices.names[row])
        except DataError:  # another process has just removed it
            continue
        own = [each for each in voice.recordings if not each.mapped]
        for each in _shorter(own, shorter_than)[:MOST_RECORDINGS]:
            yield row, each


def _shorter(
    recordings: Sequence[EnrolledRecording], seconds: float
) -> Sequence[EnrolledRecording]:
    if seconds == math.inf or not recordings:
        return recordings
    speech = conditions_of(recordings).speech_seconds
    return [each for each, has in zip(recordings, speech, strict=True) if has < seconds]


def _blocks(
    recordings: Iterator[tuple[int, EnrolledRecording]],
) -> Iterator[tuple[Ints, Sequence[EnrolledRecording]]]:
    """Blocks of whole voices, with about `BLOCK` recordings each."""
    owners: list[int] = []
    block: list[EnrolledRecording] = []
    for owner, each in recordings:
        if len(block) >= BLOCK and owner != owners[-1]:
            yield np.array(owners), block
            owners, block = [], []
        owners.append(owner)
        block.append(each)
    if block:
        yield np.array(owners), block


def _of_strangers(
    voices: Voices, strangers: Strangers, shorter_than: float
) -> tuple[list[Floats], list[Ints], int]:
    """The best llr of each recording, its speaker's number, and the number of speakers."""
    best, speakers, count = [], [], 0
    for _, every in strangers:
        recordings = _shorter(every, shorter_than)
        if not recordings:
            continue
        count += 1
        vectors = unit_length(np.stack([each.vector for each in recordings]))
        best.append(voices.best(vectors, conditions_of(recordings)))
        speakers.append(np.full(len(recordings), voices.count + count))
    return best, speakers, count
