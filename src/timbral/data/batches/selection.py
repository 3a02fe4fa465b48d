"""Select the utterances of a store for training and for validation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timbral.data.prepared.base import PreparedData
from timbral.data.speakers import read_speakers, select_speakers
from timbral.errors import DataError

__all__ = ["describe_rows", "split_speakers"]


def split_speakers(
    store: PreparedData, exclude: Path | None, validation: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the store to train on and to validate on, by speaker.

    `validation` is a file of speakers, a number of speakers, or ``auto``: a tenth of them, 2 to 20,
    and none of fewer than 20. Excluded speakers are in neither. Raises DataError for unknown
    speakers, if none are left to train on, and for a single one to validate on.
    """
    speakers = set(store.speaker_names)
    if exclude is not None:
        speakers -= select_speakers(read_speakers(exclude), speakers, exclude)
    if not speakers:
        raise DataError(f"{exclude}: excludes every speaker of {store.folder}; none is left")
    names = sorted(speakers)
    if validation == "auto" or validation.isdecimal():
        auto = min(20, len(names) // 10) if len(names) >= 20 else 0
        count = auto if validation == "auto" else min(int(validation), len(names))
        # evenly spread over the sorted names: the same speakers whatever the machine
        held_out = {names[index * len(names) // count] for index in range(count)}
    else:
        path = Path(validation)
        held_out = select_speakers(read_speakers(path), speakers, path)
    if held_out == speakers:
        raise DataError(
            f"validation_speakers {validation} would hold out all {len(speakers)} speakers; none "
            "is left to train on"
        )
    if len(held_out) == 1:
        raise DataError(
            "`validation_speakers`: at least two are needed, for pairs of different speakers; 0 "
            "trains without validation"
        )
    return store.rows_of(speakers - held_out), store.rows_of(held_out)


def describe_rows(store: PreparedData, rows: NDArray[np.int64]) -> str:
    """The identity of rows of prepared data: their number, and a hash of their ids and lengths."""
    utterances = store.table["utterance"].take(rows).to_pylist()
    hashed = hashlib.sha256("\n".join(utterances).encode())
    hashed.update(np.ascontiguousarray(store.samples[rows]).tobytes())
    return f"{len(rows)} ({hashed.hexdigest()[:16]})"
