"""Find the likeliest enrolled voices: by cosine first, then by llr."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.calibration.conditions import Conditions
from timbral.gallery.bounded_search import BoundedSearch, pays_off
from timbral.gallery.evidence import CalibratedEvidence, Evidence
from timbral.gallery.exact_search import exact_search
from timbral.gallery.mapped_voice import MappedEvidence
from timbral.gallery.migration import Migration
from timbral.gallery.search_rates import VoicePairs
from timbral.gallery.voice_matrix import Snapshot
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["Found", "VoiceGroup", "Voices"]

LISTED = 256
"""how many voices nearest by cosine get an llr; conditions change the order by less than this"""


@dataclass(frozen=True)
class VoiceGroup:
    """Voices with the same evidence: those embedded, or those mapped."""

    rows: Ints
    """rows (G,) among all voices"""
    vectors: Vectors
    """(G, E), as compensated by `evidence`"""
    conditions: Conditions
    """(G,)"""
    evidence: Evidence

    def likeliest(self, vectors: Vectors, conditions: Conditions) -> tuple[Ints, Vectors, Floats]:
        """For unit vectors (Q, E): rows, cosines and llrs (Q, K) of the nearest voices."""
        found, scores = self._nearest(self.evidence.searched(vectors))
        searched = conditions.rows(np.repeat(np.arange(len(vectors)), found.shape[1]))
        enrolled = self.conditions.rows(found.ravel())
        llrs = self.evidence.llr(scores.ravel().astype(np.float64), enrolled, searched)
        return self.rows[found], np.clip(scores, -1, 1), llrs.reshape(found.shape)

    def _nearest(self, queries: Vectors) -> tuple[Ints, Vectors]:
        """Positions in this group, and cosines (Q, K), of the voices nearest to each query."""
        if not pays_off(len(self.vectors), len(queries)):
            return exact_search(self.vectors, queries, LISTED)
        top = min(LISTED, len(self.vectors))
        found = [self._bounded.search(self.vectors, query, top) for query in queries]
        return np.stack([rows for rows, _ in found]), np.stack([scores for _, scores in found])

    @cached_property
    def _bounded(self) -> BoundedSearch:
        return BoundedSearch()


@dataclass(frozen=True)
class Found:
    """The likeliest K voices of Q searches, best first."""

    rows: Ints
    """(Q, K)"""
    cosines: Vectors
    """(Q, K)"""
    llrs: Floats
    """(Q, K)"""


@dataclass(frozen=True)
class Voices:
    """N voices at one moment, with the evidence to compare them."""

    names: Sequence[str]
    groups: tuple[VoiceGroup, ...]
    conditions: Conditions
    """(N,)"""

    @classmethod
    def of(cls, snapshot: Snapshot, evidence: Evidence, migration: Migration | None = None) -> Self:
        """The voices of a gallery; `migration` has the evidence for mapped voices."""
        groups = []
        mapped = snapshot.mapped if migration is not None else np.zeros(len(snapshot.names), bool)
        kinds: list[tuple[Ints, Evidence]] = [(np.flatnonzero(~mapped), evidence)]
        if migration is not None:
            kinds.append((np.flatnonzero(mapped), MappedEvidence(migration)))
        for rows, of_rows in kinds:
            if len(rows):
                vectors = of_rows.compensate(snapshot.vectors[rows])
                groups.append(VoiceGroup(rows, vectors, snapshot.conditions.rows(rows), of_rows))
        return cls(snapshot.names, tuple(groups), snapshot.conditions)

    @property
    def count(self) -> int:
        return len(self.names)

    @property
    def calibrations(self) -> tuple[tuple[int, Calibration], ...]:
        """How many voices each calibration is for; empty unless all have one."""
        found = [
            (len(group.rows), group.evidence.calibration)
            for group in self.groups
            if isinstance(group.evidence, CalibratedEvidence | MappedEvidence)
        ]
        return tuple(found) if len(found) == len(self.groups) else ()

    def pairs(self, speech_seconds: float = math.inf) -> tuple[VoicePairs, ...]:
        """The points of calibrations for pairs with a recording of this much net speech.

        Voices with less speech count as such pairs for any recording. Empty unless all voices have
        a calibration.
        """
        if not self.calibrations:
            return ()
        found = []
        for group, (_, calibration) in zip(self.groups, self.calibrations, strict=True):
            speech = np.minimum(group.conditions.speech_seconds, speech_seconds)
            short = int((speech < calibration.short_seconds).sum())
            of_short, speakers = calibration.points_at(0.0), calibration.fitted_on.num_speakers
            for count, points in ((short, of_short), (len(speech) - short, calibration.points)):
                if count:
                    found.append(VoicePairs(count, points, speakers))
        return tuple(found)

    def likeliest(self, vectors: Vectors, conditions: Conditions) -> Found:
        """The likeliest voices of unit vectors (Q, E); K is N, or at least `LISTED`."""
        found = [group.likeliest(vectors, conditions) for group in self.groups]
        rows, cosines, llrs = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        order = np.argsort(-llrs, axis=1, kind="stable")
        return Found(*(np.take_along_axis(each, order, 1) for each in (rows, cosines, llrs)))

    def best(self, vectors: Vectors, conditions: Conditions, exclude: Ints | None = None) -> Floats:
        """The highest llr (Q,) among the voices, without the voice of each row in `exclude`."""
        found = self.likeliest(vectors, conditions)
        if exclude is None:
            return np.asarray(found.llrs[:, 0])
        return np.asarray(np.where(found.rows == exclude[:, None], -np.inf, found.llrs).max(axis=1))
