"""Find errors in a gallery: voices that may be one speaker, recordings of another speaker."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from timbral.gallery.evidence import Evidence
from timbral.gallery.exact_search import exact_search
from timbral.gallery.guard import Guard
from timbral.gallery.mapped_voice import MappedEvidence
from timbral.gallery.migration import Migration
from timbral.gallery.voice_matrix import Snapshot
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["AlikeVoices", "DisagreeingRecording", "GalleryCheck", "check_gallery"]

BLOCK_VOICES = 256
NEAREST = 8
"""how many of the nearest other voices each voice is compared with"""


@dataclass(frozen=True)
class AlikeVoices:
    """Two voices that may be of one speaker; `merge` them, or leave them."""

    first: str
    second: str
    cosine: float
    llr: float
    """natural log-likelihood ratio, same speaker : different speakers"""


@dataclass(frozen=True)
class DisagreeingRecording:
    """A recording that does not sound like the others of its voice; `remove` it, or leave it."""

    voice: str
    id: int
    """number of the recording in the gallery"""
    source: str
    llr: float
    """llr of this recording and all others of the voice; below 0 another speaker is more likely"""


@dataclass(frozen=True)
class GalleryCheck:
    """The findings, most likely first."""

    num_voices: int
    alike: tuple[AlikeVoices, ...]
    disagreeing: tuple[DisagreeingRecording, ...]
    evidence: str
    """what the llrs are based on, as text"""


def check_gallery(
    store: VoiceStore, snapshot: Snapshot, evidence: Evidence, migration: Migration | None = None
) -> GalleryCheck:
    """Compare each voice with all others, and each recording with the others of its voice.

    As in enrollment, voices are alike from an llr of ln(N) on, with N voices. Voices mapped by a
    migration are compared with others by the migration's calibration, as `identify` does. They and
    their recordings are not compared with each other, because that calibration is not for such
    cosines; check the original gallery for that.
    """
    alike = sorted(_alike(snapshot, evidence, migration), key=lambda each: -each.llr)
    disagreeing = sorted(_disagreeing(store, evidence), key=lambda each: each.llr)
    return GalleryCheck(len(snapshot.names), tuple(alike), tuple(disagreeing), evidence.description)


def _alike(
    snapshot: Snapshot, evidence: Evidence, migration: Migration | None
) -> Iterator[AlikeVoices]:
    names, conditions = snapshot.names, snapshot.conditions
    for first, second, scores, of_scores in _pairs(snapshot, evidence, migration):
        ratios = of_scores.llr(scores, conditions.rows(first), conditions.rows(second))
        for each in np.flatnonzero(ratios >= math.log(len(names))):
            pair = names[first[each]], names[second[each]]
            yield AlikeVoices(*pair, float(scores[each]), float(ratios[each]))


def _pairs(
    snapshot: Snapshot, evidence: Evidence, migration: Migration | None
) -> Iterator[tuple[Ints, Ints, Floats, Evidence]]:
    """Rows of pairs that may be alike, their cosines, and their llrs."""
    mapped = snapshot.mapped if migration is not None else np.zeros(len(snapshot.names), bool)
    native, others = np.flatnonzero(~mapped), np.flatnonzero(mapped)
    vectors = evidence.compensate(snapshot.vectors[native])
    for first, second, scores in _nearest(vectors, vectors):
        once = np.flatnonzero(first < second)
        yield native[first[once]], native[second[once]], scores[once], evidence
    if migration is not None and len(native) and len(others):
        of_mapped = MappedEvidence(migration)
        queries = of_mapped.searched(snapshot.vectors[native])
        voices = of_mapped.compensate(snapshot.vectors[others])
        for first, second, scores in _nearest(queries, voices):
            yield native[first], others[second], scores, of_mapped


def _nearest(queries: Vectors, vectors: Vectors) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Rows of queries (Q, E), rows of the nearest of (N, E) vectors, and their cosines."""
    for start in range(0, len(queries) if len(vectors) else 0, BLOCK_VOICES):
        rows, cosines = exact_search(vectors, queries[start : start + BLOCK_VOICES], NEAREST + 1)
        first = np.repeat(np.arange(start, start + len(rows)), rows.shape[1])
        yield first, rows.ravel(), cosines.ravel().astype(np.float64)


def _disagreeing(store: VoiceStore, evidence: Evidence) -> Iterator[DisagreeingRecording]:
    guard = Guard(evidence)
    for name, recordings in _voices(store):
        recordings = [each for each in recordings if not each.mapped]
        if len(recordings) < 2:
            continue
        for each, ratio in zip(recordings, guard.llrs_to_rest(recordings), strict=True):
            if ratio < 0:
                yield DisagreeingRecording(name, each.id, each.source, float(ratio))


def _voices(store: VoiceStore) -> Iterator[tuple[str, list[EnrolledRecording]]]:
    rows = (row for block in store.all_recordings() for row in block)
    for name, group in groupby(rows, lambda row: row[0]):
        yield name, [recording for _, recording in group]
