"""Speakers of one corpus that are in another one, too, under any label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.audit.same_speaker import SpeakerPair, find_same_speakers
from timbral.embeddings.table import vectors_of
from timbral.embeddings.vectors import centered
from timbral.io.types import Ints

__all__ = ["find_shared_speakers"]


def find_shared_speakers(
    table: pa.Table, other: pa.Table, min_probability: float
) -> Iterator[SpeakerPair]:
    """Pairs of a speaker of `table` and one of `other`, those first that are most probably one.

    `first` is the index of the speaker among the sorted ones of its table, and so is `second`.
    Labels are not compared: two corpora may give one name to different speakers. Both corpora are
    centered together, so that what differs between them is not taken for the speakers'.
    """
    names, codes = _speakers(table)
    others, other_codes = _speakers(other)
    all_codes = np.concatenate([codes, other_codes + len(names)])
    order = np.argsort(all_codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(all_codes))[:-1])
    sessions = np.array([*table["session"].to_pylist(), *other["session"].to_pylist()])
    vectors = centered(np.concatenate([vectors_of(table), vectors_of(other)]), all_codes)
    corpora = np.repeat(np.array([0, 1]), [len(names), len(others)])
    for pair in find_same_speakers(vectors, rows, sessions, min_probability, corpora):
        yield SpeakerPair(pair.first, pair.second - len(names), pair.cosine, pair.probability)


def _speakers(table: pa.Table) -> tuple[NDArray[np.str_], Ints]:
    names, codes = np.unique(np.asarray(table["speaker"].to_pylist()), return_inverse=True)
    return names, codes.astype(np.int64)
