"""The checks on recordings that are to be enrolled under one voice.

Checks use log-likelihood ratios (llr), same speaker : different speakers. Each recording must match
the others of its voice together (llr of 0 or more). Another voice counts as the same speaker only
from an llr of ln(N) on, with N voices in the gallery, because one of N may be similar by chance. A
recording closer to another voice than to its own is refused for any N.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from timbral.audio.quality.risks import SHORT_SECONDS
from timbral.calibration.conditions import Conditions
from timbral.embeddings.vectors import unit_length
from timbral.errors import Refusal
from timbral.gallery.evidence import Evidence
from timbral.gallery.mapped_voice import MappedEvidence
from timbral.gallery.migration import Migration
from timbral.gallery.voices import EnrolledRecording, Voice, conditions_of, voice_vector
from timbral.io.durations import too_short
from timbral.io.types import Floats, Vectors

__all__ = ["REFUSALS", "Candidates", "Guard", "Near", "Others"]

REFUSALS = {
    "bad-name": "the name is not allowed",
    "unusable": "no vector could be computed",
    "no-speech": "no speech was found in it",
    "several-speakers": "another speaker talks in it",
    "channels-differ": "its channels contain different speakers",
    "too-little-speech": "it, or all together, contain too little speech",
    "same-recording": "it is already enrolled, or was given twice",
    "disagrees": "it does not sound like the voice's other recordings",
    "another-voice": "it sounds like another voice of the gallery",
    "already-enrolled": "the voice is already enrolled under another name",
}
"""kinds of refusals"""
RISKS = {
    "no-speech": "no speech was found in it: check that it is the right recording",
    "several-speakers": (
        "another speaker talks in it: cut it into one recording per speaker, and enroll only "
        "those of one"
    ),
    "channels-differ": (
        "its channels contain different speakers, like the two sides of a call: enroll one "
        "channel (#channel=0 after the path is the first)"
    ),
}
"""risks that refuse a recording; others are noted, and the calibration accounts for them"""
LEAST_SECONDS = 0.5
"""net speech that a recording needs; with less, vectors do not identify a speaker"""
SAME_RECORDING_COSINE = 0.9999
"""from this cosine on, two files are the same recording in different formats"""


@dataclass(frozen=True)
class Near:
    """The voices of a gallery that are nearest to a vector."""

    names: Sequence[str]
    vectors: Vectors
    """(K, E)"""
    conditions: Conditions
    """(K,)"""
    mapped: NDArray[np.bool_]
    """(K,), whether a voice has only a vector mapped by a migration"""


class Others(Protocol):
    """The voices of a gallery, except the one being enrolled."""

    def __len__(self) -> int: ...

    def nearest(self, vectors: Vectors) -> list[Near]:
        """The nearest voices of each unit vector (N, E)."""


@dataclass(frozen=True)
class Candidates:
    """Recordings to enroll, and the content of the gallery."""

    name: str
    recordings: Sequence[EnrolledRecording]
    enrolled: Sequence[EnrolledRecording] = ()
    """recordings of the voice that are already enrolled"""
    owners: Mapping[str, str] | None = None
    """names of voices by the hash of their enrolled recordings"""
    others: Others | None = None
    """None: the gallery is empty"""
    mapped: Voice | None = None
    """the voice as mapped by a migration, if it has no recordings of the new encoder"""


class Guard:
    """Decides which recordings may enter a voice."""

    def __init__(self, evidence: Evidence, migration: Migration | None = None) -> None:
        """Use `evidence`, and for voices mapped by a migration the migration's calibration."""
        self.evidence = evidence
        self._of_mapped = evidence if migration is None else MappedEvidence(migration)

    def refusals(self, candidates: Candidates) -> dict[int, Refusal]:
        """The refused recordings by row, with the reason; empty: none is refused.

        Refused recordings are left out when the others are compared.
        """
        refused = _refuse_alone(candidates)
        refused |= self._refuse_disagreeing(candidates, refused)
        together = None
        if not candidates.enrolled:
            together = self._refuse_together(candidates, refused)
        if together is None:
            nearer = self._refuse_nearer_to_others(candidates, refused)
            refused |= nearer
            if nearer or candidates.enrolled:
                together = self._refuse_together(candidates, refused)
        if together is not None:
            return refused | dict.fromkeys(_kept(candidates, refused), together)
        return refused

    def _refuse_disagreeing(
        self, candidates: Candidates, refused: Mapping[int, Refusal]
    ) -> dict[int, Refusal]:
        """Refuse, one by one, the recording that disagrees most with all that are left.

        If those left are not a majority, it is unknown which of them are the voice's, and all are
        refused.
        """
        kept, found = _kept(candidates, refused), {}
        while len(kept) + len(candidates.enrolled) > 1 and kept:
            ratios = self._llrs_to_own(candidates, kept)
            worst = int(np.argmin(ratios))
            if ratios[worst] >= 0:
                break
            detail = self.evidence.describe(ratios[worst])
            found[kept[worst]] = _disagrees(candidates, kept, kept[worst], detail)
            kept = [*kept[:worst], *kept[worst + 1 :]]
        if found and len(found) >= len(kept) + len(candidates.enrolled):
            reason = (
                "these recordings do not agree with each other, and no majority does: enroll "
                "recordings of one speaker"
            )
            for row in kept:
                source = candidates.recordings[row].source
                found[row] = Refusal(source, "disagrees", reason)
        return found

    def _refuse_nearer_to_others(
        self, candidates: Candidates, refused: Mapping[int, Refusal]
    ) -> dict[int, Refusal]:
        kept, found = _kept(candidates, refused), {}
        if len(kept) + len(candidates.enrolled) < 2:
            return {}  # the voice has no other recordings to compare with
        sides = [[candidates.recordings[row]] for row in kept]
        nearest = self._nearest(sides, candidates.others)
        if not nearest:  # no other voice is there
            return {}
        owns = self._llrs_to_own(candidates, kept)
        for row, own, (ratio, name, detail) in zip(kept, owns, nearest, strict=True):
            recording = candidates.recordings[row]
            if ratio > max(own, 0.0):
                reason = (
                    f"it sounds more like the voice {name!r} ({detail}) than like the other "
                    f"recordings for {candidates.name!r}, enrolled or given now "
                    f"({self.evidence.describe(own)}): leave it out, or enroll it there"
                )
                found[row] = Refusal(recording.source, "another-voice", reason)
        return found

    def _refuse_together(
        self, candidates: Candidates, refused: Mapping[int, Refusal]
    ) -> Refusal | None:
        """Why the voice with the new recordings is refused as a whole; None if it is not."""
        kept = _kept(candidates, refused)
        if not kept:
            return None
        new = [candidates.recordings[row] for row in kept]
        label = new[0].source if len(new) == 1 else f"{len(new)} recordings"
        voice = [*candidates.enrolled, *new]
        seconds = float(conditions_of(voice).together.speech_seconds[0])
        if seconds < SHORT_SECONDS and all(each.has_length for each in voice):
            reason = (
                f"{too_short(seconds)} of net speech are too little for a voice: enroll at least "
                f"{SHORT_SECONDS:g} s, better 10 s in several recordings"
            )
            return Refusal(label, "too-little-speech", reason)
        found = self._nearest([voice], candidates.others)
        if not found or candidates.others is None:
            return None
        ratio, name, detail = found[0]
        if ratio < max(math.log(len(candidates.others)), self._llr_to_mapped(candidates, new)):
            return None
        if candidates.enrolled:
            old, other, _ = self._nearest([candidates.enrolled], candidates.others)[0]
            if other == name and old >= ratio:
                return None  # they were as much alike before
            kind, what = "another-voice", f"with it {candidates.name!r} would sound like"
        else:
            kind, what = "already-enrolled", "this voice sounds like"
        reason = (
            f"{what} the voice {name!r} ({detail}): enroll under that name, or `merge` them if "
            "they are one speaker"
        )
        return Refusal(label, kind, reason)

    def remarks(
        self, accepted: Sequence[EnrolledRecording], rest: Sequence[EnrolledRecording]
    ) -> tuple[str, ...]:
        """Remarks on accepted recordings that are only a little like the others of their voice.

        Two recordings are equally unlike each other; the one with less speech gets the remark.

        Args:
            accepted: the recordings to enroll
            rest: the recordings of the voice that are already enrolled
        """
        voice = [*accepted, *rest]
        if len(voice) < 2:
            return ()
        ratios = self.llrs_to_rest(voice)[: len(accepted)]
        unlike = [row for row, ratio in enumerate(ratios) if ratio < self.evidence.certain_llr]
        if len(voice) == 2:
            seconds = conditions_of(voice).speech_seconds
            unlike = [row for row in unlike if row == np.argmin(seconds[: len(accepted)])]
        return tuple(
            f"{accepted[row].source}: sounds only a little like the voice's other recordings "
            f"({self.evidence.describe(ratios[row])}), and may be of another speaker: listen to it"
            for row in unlike
        )

    def highest_llr(self, recordings: Sequence[EnrolledRecording], others: Others) -> float:
        """The highest llr of these recordings together and another voice; there must be one."""
        ((ratio, _, _),) = self._nearest([recordings], others)
        return ratio

    def _llrs_to_own(self, candidates: Candidates, kept: Sequence[int]) -> list[float]:
        """The llrs of each kept recording and all others of its voice, enrolled or kept."""
        new = [candidates.recordings[row] for row in kept]
        return list(map(float, self.llrs_to_rest([*new, *candidates.enrolled])[: len(new)]))

    def llrs_to_rest(self, recordings: Sequence[EnrolledRecording]) -> Floats:
        """The llrs (N,) of each of two or more recordings and all the others together."""
        vectors = unit_length(np.stack([each.vector for each in recordings]))
        rest = unit_length(vectors.sum(axis=0, dtype=np.float64) - vectors)
        conditions = conditions_of(recordings)
        others = Conditions(
            conditions.speech_seconds.sum() - conditions.speech_seconds,
            _lowest_of_others(conditions.bandwidth_hz),
            _lowest_of_others(conditions.snr_db),
        )
        scores = (self.evidence.compensate(vectors) * self.evidence.compensate(rest)).sum(axis=1)
        return self.evidence.llr(scores, conditions, others)

    def _llr_to_mapped(
        self, candidates: Candidates, recordings: Sequence[EnrolledRecording]
    ) -> float:
        """The llr of recordings together and the mapped voice they are for; -inf if it is not
        mapped.
        """
        mapped = candidates.mapped
        if mapped is None:
            return -math.inf
        conditions = conditions_of(mapped.recordings).together
        own = Near((mapped.name,), mapped.vector[None], conditions, np.array([True]))
        together = conditions_of(recordings).together
        _, ratios = self._compare(voice_vector(recordings), together, own)
        return float(ratios[0])

    def _nearest(
        self, sides: Sequence[Sequence[EnrolledRecording]], others: Others | None
    ) -> list[tuple[float, str, str]]:
        """For each side: the highest llr to another voice, that voice's name, and the llr as text.

        Empty if there is no other voice.
        """
        if others is None or not len(others) or not sides:
            return []
        found = []
        voices = np.stack([voice_vector(side) for side in sides])
        for side, voice, near in zip(sides, voices, others.nearest(voices), strict=True):
            conditions = conditions_of(side).together.rows(np.zeros(len(near.names), np.int64))
            scores, ratios = self._compare(voice, conditions, near)
            best = int(np.argmax(ratios))
            ratio, cosine = float(ratios[best]), min(float(scores[best]), 1.0)
            evidence = self._of_mapped if near.mapped[best] else self.evidence
            found.append((ratio, near.names[best], evidence.describe(ratio, cosine)))
        return found

    def _compare(self, voice: Vectors, conditions: Conditions, near: Near) -> tuple[Floats, Floats]:
        """The scores of a voice (E,) and other voices (K,), and their llrs."""

        def compared(evidence: Evidence) -> tuple[Floats, Floats]:
            (one,) = evidence.searched(voice[None])
            scores = (evidence.compensate(near.vectors) @ one).astype(np.float64)
            return scores, evidence.llr(scores, conditions, near.conditions)

        scores, ratios = compared(self.evidence)
        if not near.mapped.any():
            return scores, ratios
        of_mapped = compared(self._of_mapped)
        return (
            np.where(near.mapped, of_mapped[0], scores),
            np.where(near.mapped, of_mapped[1], ratios),
        )


def _lowest_of_others(values: Floats) -> Floats:
    """For each of two or more values, the lowest of the other values."""
    lowest, second = np.partition(values, 1)[:2]
    lowest_row = int(np.argmin(values))
    return np.asarray(np.where(np.arange(len(values)) == lowest_row, second, lowest))


def _kept(candidates: Candidates, refused: Mapping[int, Refusal]) -> list[int]:
    return [row for row in range(len(candidates.recordings)) if row not in refused]


def _refuse_alone(candidates: Candidates) -> dict[int, Refusal]:
    """Refuse recordings that are unusable by themselves."""
    refused = {}
    seen = list(candidates.enrolled)
    for row, recording in enumerate(candidates.recordings):
        problem = _problem(recording, candidates, seen)
        if problem is None:
            seen.append(recording)
        else:
            refused[row] = Refusal(recording.source, *problem)
    return refused


def _problem(
    recording: EnrolledRecording, candidates: Candidates, seen: Sequence[EnrolledRecording]
) -> tuple[str, str] | None:
    """Kind and reason of a refusal; None if there is none."""
    for kind in RISKS:
        if kind in recording.risks:
            return kind, RISKS[kind]
    seconds = recording.speech_seconds
    if seconds is not None and seconds < LEAST_SECONDS:
        reason = (
            f"{too_short(seconds)} of net speech are too little: record {SHORT_SECONDS:g} s or more"
        )
        return "too-little-speech", reason
    if owner := (candidates.owners or {}).get(recording.sha256):
        reason = f"it is already enrolled, as a recording of {owner!r}: leave it out"
        if owner != candidates.name:
            reason += f", or `remove` it there if it is of {candidates.name!r}"
        return "same-recording", reason
    for other in seen:
        same = recording.sha256 and recording.sha256 == other.sha256
        if same or float(recording.vector @ other.vector) > SAME_RECORDING_COSINE:
            reason = f"it is the same recording as {other.source}: leave one out"
            return "same-recording", reason
    return None


def _disagrees(candidates: Candidates, kept: Sequence[int], row: int, detail: str) -> Refusal:
    rest = [candidates.recordings[each].source for each in kept if each != row]
    if candidates.enrolled:
        against = f"the {len(candidates.enrolled)} enrolled ones of {candidates.name!r}"
        against += f" and {len(rest)} of these" if rest else ""
    else:
        against = rest[0] if len(rest) == 1 else f"the {len(rest)} others"
    reason = (
        f"it does not sound like {against} ({detail}, more like another speaker): listen to it, "
        "and leave it out"
    )
    return Refusal(candidates.recordings[row].source, "disagrees", reason)
