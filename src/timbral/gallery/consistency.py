"""What looks wrong in a gallery: voices that may be one, recordings that may be another's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from timbral.gallery.evidence import Evidence
from timbral.gallery.guard import Guard
from timbral.gallery.voice_matrix import Snapshot, exact_search
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording

__all__ = ["AlikeVoices", "DisagreeingRecording", "GalleryCheck", "check_gallery"]

BLOCK_VOICES = 256
NEAREST = 8
"""other voices of each that are looked at"""


@dataclass(frozen=True)
class AlikeVoices:
    """Two voices that may be one speaker's: `merge` them, or leave them."""

    first: str
    second: str
    cosine: float
    llr: float
    """natural log-likelihood ratio, same speaker : different speakers"""


@dataclass(frozen=True)
class DisagreeingRecording:
    """A recording that does not sound like the others of its voice: `remove` it, or leave it."""

    voice: str
    id: int
    """of the recording"""
    source: str
    llr: float
    """of it and all others of the voice; under 0 it speaks for another speaker"""


@dataclass(frozen=True)
class GalleryCheck:
    """What was found, the likeliest first."""

    num_voices: int
    alike: tuple[AlikeVoices, ...]
    disagreeing: tuple[DisagreeingRecording, ...]
    rests_upon: str
    """in words"""


def check_gallery(store: VoiceStore, snapshot: Snapshot, evidence: Evidence) -> GalleryCheck:
    """Compare each voice with all others, and each recording with the others of its voice.

    Voices count as alike from an llr of ln(N), N voices, as when they are enrolled.
    """
    alike = sorted(_alike(snapshot, evidence), key=lambda each: -each.llr)
    disagreeing = sorted(_disagreeing(store, evidence), key=lambda each: each.llr)
    return GalleryCheck(len(snapshot.names), tuple(alike), tuple(disagreeing), evidence.description)


def _alike(snapshot: Snapshot, evidence: Evidence) -> Iterator[AlikeVoices]:
    names, vectors = snapshot.names, evidence.compensate(snapshot.vectors)
    for start in range(0, len(names), BLOCK_VOICES):
        queries = vectors[start : start + BLOCK_VOICES]
        rows, cosines = exact_search(vectors, queries, NEAREST + 1)
        first = np.repeat(np.arange(start, start + len(queries)), rows.shape[1])
        second, scores = rows.ravel(), cosines.ravel().astype(np.float64)
        once = np.flatnonzero(first < second)
        first, second, scores = first[once], second[once], scores[once]
        conditions = snapshot.conditions
        ratios = evidence.llr(scores, conditions.rows(first), conditions.rows(second))
        for each in np.flatnonzero(ratios >= math.log(len(names))):
            pair = names[first[each]], names[second[each]]
            yield AlikeVoices(*pair, float(scores[each]), float(ratios[each]))


def _disagreeing(store: VoiceStore, evidence: Evidence) -> Iterator[DisagreeingRecording]:
    guard = Guard(evidence)
    for name, recordings in _voices(store):
        for row, each in enumerate(recordings if len(recordings) > 1 else []):
            ratio = guard.llr([each], [*recordings[:row], *recordings[row + 1 :]])
            if ratio < 0:
                yield DisagreeingRecording(name, each.id, each.source, ratio)


def _voices(store: VoiceStore) -> Iterator[tuple[str, list[EnrolledRecording]]]:
    rows = (row for block in store.all_recordings() for row in block)
    for name, group in groupby(rows, lambda row: row[0]):
        yield name, [recording for _, recording in group]
