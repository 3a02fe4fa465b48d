"""Checked enrollment: the checks and the writing happen in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from timbral.errors import ConfigError, EnrollmentError, Refusal
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.evidence import Evidence
from timbral.gallery.from_embeddings import EmbeddedSpeakers, EnrolledSpeakers
from timbral.gallery.guard import Candidates, Guard
from timbral.gallery.mapped_voice import refuse_unlike_mapped
from timbral.gallery.migration import Migration
from timbral.gallery.refused_searches import WHOLE_VOICE
from timbral.gallery.voice_matrix import OtherVoices, VoiceMatrix
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voice_rows import bytes_of
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording, Voice, checked_recordings, voice_vector
from timbral.io.types import Progress, Vectors

__all__ = ["Enroller", "in_blocks"]

GUARDED_VOICES = 100
"""voices per transaction when many are enrolled, because each transaction waits for the disk"""
Item = TypeVar("Item")


class Enroller:
    """Enrolls into one gallery; see the methods of `Gallery` for documentation."""

    def __init__(
        self,
        store: VoiceStore,
        matrix: VoiceMatrix,
        encoder: EncoderIdentity,
        migration: Migration | None,
    ) -> None:
        self._store, self._matrix, self._encoder = store, matrix, encoder
        self._migration = migration

    def enroll(
        self,
        name: str,
        recordings: Sequence[EnrolledRecording],
        evidence: Evidence,
        *,
        consent: str | None,
        force: bool,
        partial: bool = False,
        refused: Sequence[Refusal] = (),
    ) -> Enrollment:
        target = checked_name(name)
        given = checked_recordings(recordings, self._encoder) if recordings else []
        with self._matrix.writing():
            enrolled = self._store.voice(target)
            guard = Guard(evidence, self._migration)
            found: dict[int, Refusal] = {}
            if not force:
                found = self._refusals(target, given, enrolled, guard)
            refusals = (*refused, *dict.fromkeys(found.values()))
            accepted = [each for row, each in enumerate(given) if row not in found]
            is_refused = bool(refusals and not (partial or force)) or not accepted
            warnings = _other_precision(
                self._store.some_precisions(), {each.precision for each in accepted}
            )
            if not force:
                known = enrolled.recordings if enrolled else ()
                warnings += guard.remarks(accepted, [each for each in known if not each.mapped])
            if not is_refused:
                self._store.add(target, accepted, consent, enroll_again="" if enrolled else None)
        if is_refused:  # after the transaction, so that the noted refusals are kept
            raise EnrollmentError(target, refusals, len(accepted), len(given))
        before = enrolled.recordings if enrolled else ()
        done = Enrollment.of(target, not before, accepted, refusals, [*before, *accepted])
        return replace(done, warnings=warnings)

    def enroll_embeddings(
        self,
        embeddings: str | Path | EmbeddedSpeakers,
        evidence: Evidence,
        *,
        consent: str | None,
        force: bool,
        progress: Progress,
    ) -> EnrolledSpeakers:
        speakers = (
            embeddings
            if isinstance(embeddings, EmbeddedSpeakers)
            else EmbeddedSpeakers.read(embeddings)
        )
        self._encoder.check_same(speakers.encoder, self._store.location)
        other_precision = _other_precision(self._store.some_precisions(), {speakers.precision})
        unchanged = done = 0
        enrolled: list[Enrollment] = []
        refused: dict[str, Sequence[Refusal]] = {}
        for block in in_blocks(speakers, GUARDED_VOICES):
            with self._matrix.writing():
                if not force:
                    self._matrix.prefetch(_sides([given for _, given in block]))
                for name, given in block:
                    try:
                        new = self._not_enrolled(name, given)
                        if not new:
                            unchanged += 1
                            continue
                        enrolled.append(
                            self.enroll(name, new, evidence, consent=consent, force=force)
                        )
                    except EnrollmentError as error:
                        refused[name] = error.refusals
                    except ConfigError as error:
                        refused[name] = (Refusal.of_name(name, error),)
            done += len(block)
            progress(done, len(speakers))
        recordings = sum(len(each.accepted) for each in enrolled)
        warnings = other_precision if enrolled else ()
        return EnrolledSpeakers(len(enrolled), unchanged, recordings, refused, warnings)

    def _refusals(
        self,
        name: str,
        given: Sequence[EnrolledRecording],
        enrolled: Voice | None,
        guard: Guard,
    ) -> dict[int, Refusal]:
        """The refusals by row; notes the llrs of recordings refused because of another voice."""
        candidates = self._candidates(name, given, enrolled)
        found = guard.refusals(candidates)
        if llrs := _llrs_of_refused(candidates, found, guard):
            self._store.note_refused(name, llrs)
        if enrolled is not None:
            found |= refuse_unlike_mapped(enrolled, given, self._migration)
        return found

    def _candidates(
        self, name: str, recordings: Sequence[EnrolledRecording], enrolled: Voice | None
    ) -> Candidates:
        owners = self._store.owners(each.sha256 for each in recordings)
        before = [each for each in enrolled.recordings if not each.mapped] if enrolled else ()
        others = OtherVoices(self._matrix, name, is_enrolled=enrolled is not None)
        mapped = enrolled if enrolled and not before else None
        return Candidates(name, recordings, before, owners, others, mapped)

    def _not_enrolled(
        self, name: str, recordings: Sequence[EnrolledRecording]
    ) -> list[EnrolledRecording]:
        """The recordings whose vectors the voice does not have yet."""
        voice = self._store.voice(checked_name(name))
        known = {bytes_of(each.vector) for each in voice.recordings} if voice else set()
        checked = checked_recordings(recordings, self._encoder)
        return [each for each in checked if bytes_of(each.vector) not in known]


def _sides(voices: Sequence[Sequence[EnrolledRecording]]) -> Vectors:
    """What a Guard will compare: each recording, and all of a voice together (N, E)."""
    every = [[each] for recordings in voices for each in recordings]
    return np.stack([voice_vector(side) for side in [*every, *voices]])


def _llrs_of_refused(
    candidates: Candidates, found: Mapping[int, Refusal], guard: Guard
) -> dict[str, float]:
    """The llrs for `RefusedSearches.note`: of the voice as a whole, and of single recordings."""
    others, llrs = candidates.others, {}
    if others is None or not len(others):
        return {}
    of_kind = {
        kind: [candidates.recordings[row] for row, each in found.items() if each.kind == kind]
        for kind in ("already-enrolled", "another-voice")
    }
    if voice := of_kind["already-enrolled"]:
        llrs[WHOLE_VOICE] = guard.highest_llr(voice, others)
    for each in of_kind["another-voice"]:
        hash = hashlib.sha256(bytes_of(each.vector)).hexdigest()
        llrs[hash] = guard.highest_llr([each], others)
    return llrs


def _other_precision(precisions: Collection[str], given: Set[str]) -> tuple[str, ...]:
    """A warning if a gallery of vectors in these precisions has none in some of those given."""
    before, new = sorted(precisions), sorted(given - {"", *precisions})
    if not before or not new:
        return ()
    return (
        f"computed in {' and '.join(new)}, other vectors of the gallery in {' and '.join(before)}: "
        "vectors of one recording in two precisions differ a little (cosine 0.994 or more)",
    )


def in_blocks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; the last one may be shorter."""
    block = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
