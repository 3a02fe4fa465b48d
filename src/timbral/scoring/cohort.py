"""Read the cohort for score normalization, and check that it has no speaker of the trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from timbral.data.training_list import COLUMNS, TrainingList
from timbral.embeddings.named_vectors import NamedVectors, read_vectors
from timbral.embeddings.precision import warn_of_precisions
from timbral.errors import DataError
from timbral.io.types import Ints

__all__ = ["read_cohort"]

OTHER_SPEAKERS = "give a cohort of speakers who are in no trial"
UNCHECKED = (
    "the speakers of {what} are unknown, so only recordings were compared: a speaker of the "
    "trials may be in the cohort{advice}"
)


def read_cohort(
    source: str | Path, vectors: NamedVectors, used: Ints, speakers: Sequence[str]
) -> tuple[NamedVectors, str]:
    """The cohort's vectors, and a note on what could not be checked, else empty.

    `used` are the rows of `vectors` that the trials use; `speakers` are those of the trials, if
    they are given; empty: those of the vectors, if known. Raises DataError for vectors of another
    encoder, and for a cohort with a recording or a speaker of the trials.
    """
    cohort = read_vectors(source)
    _check_encoder(source, vectors, cohort)
    taken = pa.array(used)
    of_vectors = None if vectors.speakers is None else vectors.speakers.take(taken)
    in_trials = pa.array(speakers, pa.string()) if speakers else of_vectors
    for known, others, what in (
        (in_trials, cohort.speakers, "speakers"),
        (vectors.names.take(taken), cohort.names, "utterances"),
        (None if vectors.paths is None else vectors.paths.take(taken), cohort.paths, "recordings"),
    ):
        if known is not None and others is not None:
            distinct = pc.unique(others)
            both = distinct.filter(pc.and_(pc.is_in(distinct, known), pc.not_equal(distinct, "")))
            if len(both):
                raise DataError(
                    f"{source}: {what} of the trials are in the cohort: {len(both):,}, the first "
                    f"{both[0]}; {OTHER_SPEAKERS}"
                )
    if cohort.speakers is None:
        advice = "; use vectors of `embed`, or import them with their speakers"
        return cohort, UNCHECKED.format(what="the cohort", advice=advice)
    if in_trials is None:
        _check_folders(source, cohort, vectors, used)
        return cohort, UNCHECKED.format(what="the trials", advice="; `speakers` can give them")
    return cohort, ""


def _check_encoder(source: str | Path, vectors: NamedVectors, cohort: NamedVectors) -> None:
    sizes = vectors.vectors.shape[1], cohort.vectors.shape[1]
    if sizes[0] != sizes[1]:
        raise DataError(
            f"{source}: the cohort's vectors have {sizes[1]} numbers, those of the trials "
            f"{sizes[0]}; they are from different encoders"
        )
    if vectors.weights_sha256 and cohort.weights_sha256 not in ("", vectors.weights_sha256):
        raise DataError(
            f"{source}: the cohort's vectors are from {cohort.encoder} "
            f"({cohort.weights_sha256[:8]}), those of the trials from {vectors.encoder} "
            f"({vectors.weights_sha256[:8]})"
        )
    warn_of_precisions("the trials", vectors.precision, source, cohort.precision)


def _check_folders(
    source: str | Path, cohort: NamedVectors, vectors: NamedVectors, used: Ints
) -> None:
    """Raise DataError if trials have recordings in the folder of one of the cohort's speakers."""
    if vectors.paths is None or cohort.paths is None or cohort.speakers is None:
        return
    columns = {"speaker": cohort.speakers, "utterance": cohort.names, "path": cohort.paths}
    listed = TrainingList(pa.table({name: columns[name] for name in COLUMNS}))
    seen = listed.seen(vectors.paths.take(pa.array(used)).to_pylist(), set())
    if seen:
        raise DataError(
            f"{source}: the trials have recordings in {seen} of the cohort's folders; "
            f"{OTHER_SPEAKERS}, or give the speakers of the trials with `speakers`"
        )
