"""A database of voices: listing, changing and searching it, without enrollment checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from timbral.embeddings.vectors import has_direction, unit_length
from timbral.errors import ConfigError, DataError, InputError, MergeError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.enroller import Enroller, in_blocks
from timbral.gallery.evidence import Evidence
from timbral.gallery.exporting import export_gallery
from timbral.gallery.merging import refusal_to_merge
from timbral.gallery.migration import migration_of
from timbral.gallery.opening_gallery import create_database, open_database
from timbral.gallery.refused_searches import RefusedSearch
from timbral.gallery.voice_matrix import Snapshot, VoiceMatrix
from timbral.gallery.voice_names import checked_name
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording, Voice, VoiceSummary, checked_recordings
from timbral.io.masked_arrays import refuse_masked
from timbral.io.near_names import near_name
from timbral.io.types import Progress, Vectors

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["VoiceCollection"]

BULK_VOICES = 1000
"""voices per transaction of `add_many`"""


class VoiceCollection:
    """Everything in a Gallery except the enrollment guard; see Gallery."""

    def __init__(self, location: str | Path) -> None:
        """Open an existing gallery.

        Args:
            location: a file (SQLite) from `Gallery.create` or `timbral enroll`, or
                ``postgresql://USER@HOST/DATABASE``

        Raises DataError if there is none, or if the file is something else.
        """
        self._use(VoiceStore(open_database(location)))

    @classmethod
    def create(cls, location: str | Path, encoder: Embedder | EncoderIdentity) -> Self:
        """Open a gallery for vectors of this encoder; create it if there is none.

        Raises DataError if the file is not a gallery, or one of another encoder.
        """
        identity = EncoderIdentity.of(encoder)
        gallery = cls.__new__(cls)
        gallery._use(VoiceStore(create_database(location, identity)))
        try:
            gallery.encoder.check_same(identity, gallery.location)
        except DataError:
            gallery.close()
            raise
        return gallery

    def _use(self, store: VoiceStore) -> None:
        self._store = store
        self.encoder = store.encoder()
        self.migration = migration_of(store.migration(), store.location)
        mean = None if self.migration is None else np.array(self.migration.new_mean, np.float32)
        self._matrix = VoiceMatrix(store, self.encoder.embedding_dim, mean)
        self._enroller = Enroller(store, self._matrix, self.encoder, self.migration)

    def __repr__(self) -> str:
        return f"<Gallery {self.location}, {len(self):,} voices of {self.encoder}>"

    def __len__(self) -> int:
        return self._store.count()

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            return self._store.voice(checked_name(name)) is not None
        except ConfigError:  # what cannot be a name is nobody's
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        return self._store.location

    @property
    def version(self) -> int:
        """A number that increases with every change, by any process."""
        return self._store.changes()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._store.database.close()

    def voices(self) -> list[VoiceSummary]:
        """All voices sorted by name, without vectors."""
        return sorted(self._store.summaries(), key=lambda each: each.name)

    def precisions(self) -> dict[str, int]:
        """How many recordings have vectors computed in each precision, such as fp32 or int8.

        Empty: unknown, as of vectors that were mapped or enrolled by an older version.
        """
        return self._store.precisions()

    def voice(self, name: str) -> Voice:
        """A voice with its recordings; DataError if there is none of this name."""
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
        """Enroll recordings that already have vectors, without checks (unlike `enroll`).

        The caller must make sure that the vectors are of the gallery's encoder.

        Args:
            name: name of the voice, which is created if needed
            recordings: one or more, with vectors (E,); `id` and an empty `added_at` are set
            consent: what the speaker consented to; None: keep the stored value
            enroll_again: why the voice should be enrolled again; empty: it need not; None: keep the
                stored value

        Raises ConfigError for an invalid name, InputError for vectors that are not (E,).
        """
        self.add_many([(name, recordings)], consent=consent, enroll_again=enroll_again)

    def add_many(
        self,
        voices: Iterable[tuple[str, Sequence[EnrolledRecording]]],
        *,
        consent: str | None = None,
        enroll_again: str | None = None,
    ) -> int:
        """Like `add`, for many voices, a thousand per transaction; returns their number.

        If interrupted, the voices of finished transactions are enrolled.
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

    def remove(self, name: str, recordings: Sequence[int] = ()) -> bool:
        """Delete a voice, or some of its recordings, and overwrite the deleted data.

        Args:
            name: name of the voice
            recordings: `id` of recordings to delete; none: the whole voice

        Returns:
            whether the data are overwritten in every file; False if another process was reading
            them (call `erase` later), or on a server if the tables belong to another user

        Raises DataError if there is no such voice or recording.
        """
        with self._matrix.writing():
            known = [each.id for each in self.voice(name).recordings]
            if missing := [id for id in recordings if id not in known]:
                raise DataError(
                    f"{self.location}: voice {name!r} has no recording {missing[0]}; it has "
                    f"{', '.join(map(str, known))}"
                )
            if set(recordings) in (set(), set(known)):
                self._store.remove(checked_name(name))
            else:
                self._store.remove_recordings(checked_name(name), recordings)
        self._matrix.refresh()
        return self.erase()

    def erase(self) -> bool:
        """Overwrite deleted data; False while another process still reads them, or if the tables
        on a server belong to another user, who has to do it.
        """
        return self._store.database.erase()

    def merge(self, into: str, other: str, evidence: Evidence | None = None) -> None:
        """Move all recordings of the voice `other` to the voice `into`, and delete `other`.

        Args:
            into: the voice to keep
            other: the voice to merge into it
            evidence: a calibration or threshold to check that they are one speaker, such as
                `evidence_of(encoder)`; None: no check

        Raises DataError if a voice does not exist or both are the same, MergeError if the evidence
        says that they are two speakers.
        """
        with self._matrix.writing():
            first, second = self.voice(into), self.voice(other)
            if first.name == second.name:
                raise DataError(f"{into!r} cannot be merged into itself; give two voices")
            if evidence is not None:
                refusal = refusal_to_merge(first, second, evidence, self.migration)
                if refusal is not None:
                    raise MergeError(first.name, [refusal])
            self._store.merge(first.name, second.name)

    def rename(self, name: str, new_name: str) -> None:
        """Rename a voice; DataError if the new name is taken."""
        target = checked_name(new_name)
        with self._matrix.writing():
            if target in self:
                raise DataError(f"{self.location}: already has a voice {target!r}; `merge` them")
            self._store.rename(self.voice(name).name, target)

    def export(self, path: str | Path) -> int:
        """Write every recording's vector as a table (.parquet), for `audit`, `map`, `score`.

        Returns their number. Raises DataError if `path` holds something else.
        """
        return export_gallery(self._store, self.encoder, Path(path))

    def matrix(self) -> tuple[tuple[str, ...], Vectors]:
        """The names of all voices (N,) and their unit vectors (N, E), in any order."""
        snapshot = self.snapshot()
        return snapshot.names, snapshot.vectors

    def snapshot(self) -> Snapshot:
        """A copy of all current voices: names, vectors, conditions."""
        self._matrix.refresh()
        return self._matrix.snapshot()

    def refused_searches(self) -> list[RefusedSearch]:
        """Scores of recordings that the guard refused because they sound like another voice."""
        return self._store.refused_searches()

    def build_index(self, progress: Progress = lambda done, total: None) -> float:
        """Build an index for `search` in the memory of this process, and keep it up to date.

        For a million voices this takes a minute or more. Needs the extra ``[gallery]``.

        Returns:
            recall: the fraction of synthetic new recordings of its own voices whose nearest voice
                it finds

        Raises DataError if that is below 0.99.
        """
        self._matrix.refresh()
        return self._matrix.build_index(progress).recall

    def search(
        self, vectors: Vectors, top: int = 5, *, indexed: bool = False
    ) -> tuple[list[list[str]], Vectors]:
        """The closest voices to each of many vectors.

        Args:
            vectors: (N, E), or one (E,)
            top: number of voices for each
            indexed: use the index from `build_index`, which is much faster in large galleries but
                may miss a voice, mostly ones that are not close; otherwise the search is exact

        Returns:
            for each vector the names of the closest voices, best first, and their cosines (N, K); K
            is `top`, or the number of voices if that is less
        """
        refuse_masked(vectors, "vectors")
        queries = unit_length(np.atleast_2d(np.asarray(vectors, np.float32)))
        size = self.encoder.embedding_dim
        if queries.shape[1:] != (size,) or not isinstance(top, int | np.integer) or top < 1:
            raise InputError(
                f"vectors of {self.encoder} have {size} numbers, and `top` must be a whole "
                f"number, 1 or more; got vectors of shape {queries.shape}, top {top}"
            )
        if not has_direction(queries):
            raise InputError("the vectors to search must be finite numbers, not all 0")
        self._matrix.refresh()
        return self._matrix.search(queries, top, indexed=indexed)
