"""Guarded enrollment: what a Guard lets in is written, in the transaction in which it decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from timbral.errors import ConfigError, EnrollmentError, Refusal
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.evidence import Evidence
from timbral.gallery.from_embeddings import EmbeddedSpeakers, EnrolledSpeakers
from timbral.gallery.guard import Candidates, Guard
from timbral.gallery.mapped_voice import refuse_unlike_mapped
from timbral.gallery.migration import migration_of
from timbral.gallery.voice_matrix import OtherVoices, VoiceMatrix
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voice_store import VoiceStore, bytes_of
from timbral.gallery.voices import EnrolledRecording, Voice, checked_recordings
from timbral.io.types import Progress

__all__ = ["Enroller", "in_blocks"]

GUARDED_VOICES = 100
"""in one transaction of many: each waits for the disk"""
Item = TypeVar("Item")


class Enroller:
    """Enrolls into one gallery; its methods are those of `Gallery`, which documents them."""

    def __init__(self, store: VoiceStore, matrix: VoiceMatrix, encoder: EncoderIdentity) -> None:
        self._store, self._matrix, self._encoder = store, matrix, encoder

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
            found: dict[int, Refusal] = {}
            if not force:
                found = Guard(evidence).refusals(self._candidates(target, given, enrolled))
                if enrolled is not None:
                    migration = migration_of(self._store.migration(), self._store.location)
                    found |= refuse_unlike_mapped(enrolled, given, migration)
            refusals = (*refused, *dict.fromkeys(found.values()))
            accepted = [each for row, each in enumerate(given) if row not in found]
            if (refusals and not (partial or force)) or not accepted:
                raise EnrollmentError(target, refusals)
            self._store.add(target, accepted, consent, enroll_again="" if enrolled else None)
            before = enrolled.recordings if enrolled else ()
        return Enrollment.of(target, not before, accepted, refusals, [*before, *accepted])

    def enroll_embeddings(
        self,
        embeddings: str | Path,
        evidence: Evidence,
        *,
        consent: str | None,
        force: bool,
        progress: Progress,
    ) -> EnrolledSpeakers:
        speakers = EmbeddedSpeakers.read(embeddings)
        self._encoder.check_same(speakers.encoder, self._store.location)
        unchanged = done = 0
        enrolled: list[Enrollment] = []
        refused: dict[str, Sequence[Refusal]] = {}
        for block in in_blocks(speakers, GUARDED_VOICES):
            with self._matrix.writing():
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
                        refused[name] = (Refusal(repr(name), "bad-name", str(error)),)
            done += len(block)
            progress(done, len(speakers))
        recordings = sum(len(each.accepted) for each in enrolled)
        return EnrolledSpeakers(len(enrolled), unchanged, recordings, refused)

    def _candidates(
        self, name: str, recordings: Sequence[EnrolledRecording], enrolled: Voice | None
    ) -> Candidates:
        owners = self._store.owners(each.sha256 for each in recordings)
        before = [each for each in enrolled.recordings if not each.mapped] if enrolled else ()
        others = OtherVoices(self._matrix, name, is_enrolled=enrolled is not None)
        return Candidates(name, recordings, before, owners, others)

    def _not_enrolled(
        self, name: str, recordings: Sequence[EnrolledRecording]
    ) -> list[EnrolledRecording]:
        """Those whose vector the voice does not have."""
        voice = self._store.voice(checked_name(name))
        known = {bytes_of(each.vector) for each in voice.recordings} if voice else set()
        checked = checked_recordings(recordings, self._encoder)
        return [each for each in checked if bytes_of(each.vector) not in known]


def in_blocks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one maybe shorter."""
    block = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
