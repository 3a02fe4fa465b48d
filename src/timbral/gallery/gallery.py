"""The Gallery: enrolled voices, and who among them is nearest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError, InputError, Refusal
from timbral.gallery.consistency import GalleryCheck, check_gallery
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.enroller import Enroller, in_blocks
from timbral.gallery.enrollment_result import Enrollment
from timbral.gallery.evidence import Evidence, evidence_of
from timbral.gallery.exporting import export_gallery
from timbral.gallery.from_embeddings import EnrolledSpeakers
from timbral.gallery.opening_gallery import create_database, open_database
from timbral.gallery.voice_matrix import Snapshot, VoiceMatrix
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording, Voice, VoiceSummary, checked_recordings
from timbral.io.near_names import near_name
from timbral.io.types import Progress, Vectors

if TYPE_CHECKING:
    from timbral.gallery.identification import Identification
    from timbral.inference.embedder import Embedder
    from timbral.inference.recordings import Recording

__all__ = ["Gallery"]

BULK_VOICES = 1000
"""in one transaction of `add_many`"""


class Gallery:
    """A database of enrolled voices, whose vectors are of one encoder.

    Any number of processes may use one gallery at once; each sees what the others have enrolled at
    its next call. What a call has enrolled is on the disk when it returns, and a process that is
    killed leaves no half voice. Threads may share a Gallery; they take turns.

    Audio is not kept: of each recording its vector, its measures, where it came from and its hash.
    """

    def __init__(self, location: str | Path) -> None:
        """Open a gallery that is there.

        Args:
            location: a file (SQLite) that `Gallery.create` or `timbral enroll` made, or
                ``postgresql://USER@HOST/DATABASE``

        Raises DataError when there is none, or when the file is something else.
        """
        self._use(VoiceStore(open_database(location)))

    @classmethod
    def create(cls, location: str | Path, encoder: Embedder | EncoderIdentity) -> Self:
        """Open a gallery for vectors of this encoder, which is made where there is none.

        Raises DataError when what is there is no gallery, or one of another encoder.
        """
        identity = EncoderIdentity.of(encoder)
        gallery = cls.__new__(cls)
        gallery._use(VoiceStore(create_database(location, identity)))
        gallery.encoder.check_same(identity, gallery.location)
        return gallery

    def _use(self, store: VoiceStore) -> None:
        self._store = store
        self.encoder = store.encoder()
        self._matrix = VoiceMatrix(store, self.encoder.embedding_dim)
        self._enroller = Enroller(store, self._matrix, self.encoder)

    def __repr__(self) -> str:
        return f"<Gallery {self.location}, {len(self):,} voices of {self.encoder}>"

    def __len__(self) -> int:
        return self._store.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._store.voice(name) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def version(self) -> int:
        """A number that grows with every change, of whatever process."""
        return self._store.changes()

    def close(self) -> None:
        """Give the connection back; whatever is called next opens another."""
        self._store.database.close()

    def voices(self) -> list[VoiceSummary]:
        """All voices in the order of their names, without vectors."""
        return sorted(self._store.summaries(), key=lambda each: each.name)

    def voice(self, name: str) -> Voice:
        """A voice with its recordings; DataError when there is none of this name."""
        found = self._store.voice(checked_name(name))
        if found is None:
            names = [each.name for each in self._store.summaries()]
            near = near_name(name, names)
            raise DataError(f"{self.location}: has no voice {name!r}{near}")
        return found

    def add(
        self,
        name: str,
        recordings: Sequence[EnrolledRecording],
        *,
        consent: str | None = None,
        enroll_again: str | None = None,
    ) -> None:
        """Enroll recordings whose vectors are there already, without asking whether they fit.

        `enroll` asks. Vectors are of the gallery's encoder: the caller has made sure of that.

        Args:
            name: of the voice, which is made where there is none
            recordings: one or more, with vectors (E,); `id` and an empty `added_at` are set
            consent: what its speaker agreed to; None: what is noted stays
            enroll_again: why the voice should be enrolled again; empty: it need not; None: what is
                noted stays

        Raises ConfigError for a name that is none, InputError for vectors that are not (E,).
        """
        self.add_many([(name, recordings)], consent=consent, enroll_again=enroll_again)

    def add_many(
        self,
        voices: Iterable[tuple[str, Sequence[EnrolledRecording]]],
        *,
        consent: str | None = None,
        enroll_again: str | None = None,
    ) -> int:
        """As `add`, of many voices, a thousand in a transaction; returns how many.

        When it is interrupted, the voices of finished transactions are enrolled.
        """
        count = 0
        for block in in_blocks(voices, BULK_VOICES):
            checked = [
                (checked_name(name), checked_recordings(each, self.encoder)) for name, each in block
            ]
            with self._matrix.writing():
                for name, recordings in checked:
                    self._store.add(name, recordings, consent, enroll_again)
            count += len(block)
        return count

    def enroll(
        self,
        name: str,
        recordings: object,
        encoder: Embedder,
        *,
        consent: str | None = None,
        force: bool = False,
        partial: bool = False,
        calibration: Calibration | str | Path | None = None,
        sample_rate: float | None = None,
        sources: Sequence[str] | None = None,
    ) -> Enrollment:
        """Enroll recordings of one speaker, if they are that: of each other, and of nobody else.

        Refused are recordings that hold no or too little speech, or a second speaker; that do not
        sound like the voice's others; that are enrolled already; that sound more like another
        voice; and a voice that is there under another name. `timbral.gallery.guard` says how that
        is decided, by the calibration of the encoder where there is one.

        Args:
            name: of the voice, any text; recordings are added where it is there
            recordings: a recording as `Embedder.encode` takes it, or a list of several
            encoder: the gallery's encoder
            consent: what the speaker agreed to, or where that is kept; noted with the time
            force: enroll everything that gives a vector
            partial: enroll what is not refused; without it nothing is enrolled when something is
                refused
            calibration: of this encoder, or its file; None: the encoder's own (`calibration`)
            sample_rate: in Hz, of samples that come without a rate
            sources: what the recordings are called; None: paths, or their number

        Returns:
            what was enrolled and, with `partial` or `force`, what was refused

        Raises EnrollmentError when something is refused, with a reason for each recording;
        DataError for another encoder than the gallery's, ConfigError for a name that is none.
        """
        from timbral.gallery.measuring import measure_recordings
        from timbral.inference.recordings import several_recordings  # imports torch

        checked_name(name)
        self.encoder.check_same(EncoderIdentity.of(encoder), self.location)
        several = several_recordings(recordings)
        given = [recordings] if several is None else several
        if not given:
            raise InputError("recordings: at least one is needed; the list is empty")
        measured, unusable = measure_recordings(encoder, given, sample_rate, sources)
        return self.enroll_vectors(
            name,
            measured,
            evidence_of(encoder, calibration),
            consent=consent,
            force=force,
            partial=partial,
            refused=unusable,
        )

    def enroll_vectors(
        self,
        name: str,
        recordings: Sequence[EnrolledRecording],
        evidence: Evidence,
        *,
        consent: str | None = None,
        force: bool = False,
        partial: bool = False,
        refused: Sequence[Refusal] = (),
    ) -> Enrollment:
        """As `enroll`, of recordings whose vectors are there already.

        Args:
            name, consent, force, partial: as for `enroll`
            recordings: with vectors of the gallery's encoder, and measures
            evidence: what decisions rest on, such as `evidence_of(encoder)`
            refused: recordings that were refused before
        """
        return self._enroller.enroll(
            name,
            recordings,
            evidence,
            consent=consent,
            force=force,
            partial=partial,
            refused=refused,
        )

    def enroll_embeddings(
        self,
        embeddings: str | Path,
        evidence: Evidence,
        *,
        consent: str | None = None,
        force: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> EnrolledSpeakers:
        """Enroll every speaker of an `embed` folder, under the speaker's name.

        Each voice is enrolled whole or refused; what a killed call has enrolled is passed over by
        the next one.

        Args:
            embeddings: a folder or table that `embed` made, with vectors of the gallery's encoder
            evidence, consent, force: as for `enroll_vectors`
            progress: called with the speakers done so far, and their number

        Raises DataError for vectors of another encoder.
        """
        return self._enroller.enroll_embeddings(
            embeddings, evidence, consent=consent, force=force, progress=progress
        )

    def remove(self, name: str, recordings: Sequence[int] = ()) -> bool:
        """Delete a voice, or some of its recordings, and overwrite what was deleted.

        Args:
            name: of the voice
            recordings: their `id`; none: the voice with all of them

        Returns:
            whether it is overwritten in every file; False where another process was just reading
            it: `erase` finishes that

        Raises DataError when there is no such voice or recording.
        """
        with self._matrix.writing():
            known = [each.id for each in self.voice(name).recordings]
            if missing := [id for id in recordings if id not in known]:
                raise DataError(
                    f"{self.location}: voice {name!r} has no recording {missing[0]}; its are "
                    f"{', '.join(map(str, known))}"
                )
            if set(recordings) in (set(), set(known)):
                self._store.remove(checked_name(name))
            else:
                self._store.remove_recordings(checked_name(name), recordings)
        self._matrix.refresh()
        return self.erase()

    def erase(self) -> bool:
        """Overwrite what was deleted; False while another process still reads it."""
        return self._store.database.erase()

    def merge(self, into: str, other: str) -> None:
        """Give all recordings of the voice `other` to the voice `into`; `other` is gone.

        Raises DataError when one of them is not there, or both are the same.
        """
        with self._matrix.writing():
            names = [self.voice(name).name for name in (into, other)]
            if names[0] == names[1]:
                raise DataError(f"{into!r} cannot be merged into itself; name two voices")
            self._store.merge(*names)

    def rename(self, name: str, new_name: str) -> None:
        """Call a voice something else; DataError when that name is taken."""
        target = checked_name(new_name)
        with self._matrix.writing():
            if target in self:
                raise DataError(f"{self.location}: has a voice {target!r} already; `merge` them")
            self._store.rename(self.voice(name).name, target)

    def export(self, path: str | Path) -> int:
        """Write every recording's vector as a table (.parquet), for `audit`, `map`, `score`.

        Returns how many there are. Raises DataError when `path` holds something else.
        """
        return export_gallery(self._store, self.encoder, Path(path))

    def check(self, evidence: Evidence) -> GalleryCheck:
        """Which voices may be one speaker's, and which recordings another's; changes nothing.

        Args:
            evidence: what decisions rest on, such as `evidence_of(encoder)`
        """
        return check_gallery(self._store, self.snapshot(), evidence)

    def matrix(self) -> tuple[tuple[str, ...], Vectors]:
        """The names of all voices (N,) and their unit vectors (N, E), in no order."""
        snapshot = self.snapshot()
        return snapshot.names, snapshot.vectors

    def snapshot(self) -> Snapshot:
        """All voices as they are now: names, vectors, conditions; a copy."""
        self._matrix.refresh()
        return self._matrix.snapshot()

    def build_index(self, progress: Progress = lambda done, total: None) -> float:
        """Make an index for `search`, in the memory of this process, and keep it up to date.

        Of a million voices it takes a quarter of an hour. Needs the extra ``[gallery]``.

        Returns:
            the fraction of a sample of its own voices that it finds

        Raises DataError when that is under 0.99.
        """
        self._matrix.refresh()
        return self._matrix.build_index(progress).recall

    def search(
        self, vectors: Vectors, top: int = 5, *, indexed: bool = False
    ) -> tuple[list[list[str]], Vectors]:
        """The voices nearest to each of many vectors.

        Args:
            vectors: (N, E), or one (E,)
            top: how many of each
            indexed: ask the index that `build_index` made: much faster in large galleries, but it
                may miss a voice, most often one that is not near; else the search is exact

        Returns:
            for each vector the names of the nearest voices, best first, and their cosines (N, K);
            K is `top`, or the number of voices where that is less
        """
        queries = unit_length(np.atleast_2d(np.asarray(vectors, np.float32)))
        if queries.shape[1:] != (self.encoder.embedding_dim,) or top < 1:
            raise InputError(
                f"vectors of {self.encoder} have {self.encoder.embedding_dim} numbers and `top` is "
                f"1 or more; got vectors of shape {queries.shape}, top {top}"
            )
        self._matrix.refresh()
        return self._matrix.search(queries, top, indexed=indexed)

    def identify(
        self,
        recording: Recording,
        encoder: Embedder,
        *,
        top: int = 5,
        false_accept: float | None = None,
        prior: float = 0.5,
        calibration: Calibration | str | Path | None = None,
        strangers: str | Path | None = None,
        sample_rate: float | None = None,
    ) -> Identification:
        """Who of the enrolled voices speaks in a recording, or nobody of them?

        Arguments as for `Identifier`, which searches many recordings. Raises AudioError for a
        recording that cannot be used, and as `Identifier` does.
        """
        from timbral.gallery.identifier import Identifier

        identifier = Identifier(
            self, encoder, top=top, false_accept=false_accept, prior=prior,
            calibration=calibration, strangers=strangers,
        )  # fmt: skip
        return identifier.identify(recording, sample_rate)
