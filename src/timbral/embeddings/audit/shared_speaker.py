"""Find speakers that are in two corpora, under any labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.audit.same_speaker import SpeakerPair
from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.embeddings.table import vectors_of
from timbral.embeddings.vectors import centered, unit_length
from timbral.errors import DataError
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["find_shared_speakers"]

PRIOR = 0.01
"""prior probability that a speaker is in the other corpus"""
EVIDENCE = 25.0
"""log odds that recordings of one speaker give on average. The model promises several times as
much, because it assumes that they are independent; results are the same from 20 to 40."""
NEAREST = 20
"""how many speakers of the other corpus, nearest by mean, each speaker is compared with"""
BLOCK_ROWS = 256
"""speakers that are compared with all others at a time"""
LEAST_WITHIN = 20
"""recordings needed in addition to the first of each speaker, to learn how much a voice varies"""


@dataclass(frozen=True)
class _Speakers:
    """The speakers of one corpus."""

    mean: Vectors
    """means of centered unit vectors (S, E)"""
    count: Floats
    """number of recordings (S,)"""

    def subset(self, which: slice) -> _Speakers:
        return _Speakers(self.mean[which], self.count[which])


def find_shared_speakers(
    table: pa.Table, other: pa.Table, min_probability: float
) -> Iterator[SpeakerPair]:
    """Pairs of a speaker of `table` and one of `other`, most probable first.

    `first` is the index of the speaker among the sorted speakers of its table, and so is `second`.
    Labels are not compared, because two corpora may use one name for different speakers. Both
    corpora are centered together, so that differences between the corpora do not count as
    differences between speakers.

    The score is the log-likelihood ratio of one speaker over two, under the two-covariance model,
    as a fraction of its average for this number of recordings of one speaker. How much a voice
    varies between recordings is learned from both corpora's labels; raises DataError if too few
    speakers have two recordings.
    """
    names, codes = _speakers(table)
    others, other_codes = _speakers(other)
    all_codes = np.concatenate([codes, other_codes + len(names)])
    vectors = centered(np.concatenate([vectors_of(table), vectors_of(other)]), all_codes)
    both, within = _means(vectors, all_codes)
    if within is None:
        raise DataError(
            "`other`: hardly any speaker of the two corpora has two recordings. These are needed "
            "to learn how much a voice varies, so speakers in both corpora cannot be found"
        )
    model = TwoCovariance.fit(within, 1.0)  # unit vectors have a mean square of 1
    here, there = both.subset(slice(len(names))), both.subset(slice(len(names), None))
    prior = PRIOR / (len(names) + len(others))
    pairs = []
    for rows, columns, cosines in _nearest(here.mean, there.mean):
        one, two = _on_axes(model, here, rows), _on_axes(model, there, columns)
        ratios = -model.log_ratio(one, two) / model.expected_log_ratio(one.count, two.count)
        odds = np.clip(EVIDENCE * ratios + np.log(prior / (1 - prior)), -60, 60)
        probability = 1 / (1 + np.exp(-odds))
        pairs += [
            SpeakerPair(int(rows[k]), int(columns[k]), float(cosines[k]), float(probability[k]))
            for k in np.flatnonzero(probability >= min_probability)
        ]
    yield from sorted(pairs, key=lambda pair: -pair.probability)


def _speakers(table: pa.Table) -> tuple[NDArray[np.str_], Ints]:
    names, codes = np.unique(np.asarray(table["speaker"].to_pylist()), return_inverse=True)
    return names, codes.astype(np.int64)


def _means(vectors: Vectors, codes: Ints) -> tuple[_Speakers, Floats | None]:
    """The speakers, and the covariance (E, E) of recordings around their speaker's mean.

    The covariance is None if too few recordings are of speakers with two or more.
    """
    counts = np.bincount(codes)
    size = vectors.shape[1]
    means = np.zeros((len(counts), size))
    for start in range(0, len(codes), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        np.add.at(means, codes[rows], vectors[rows])
    means /= counts[:, None]
    scatter, freedom = np.zeros((size, size)), int((counts[counts > 1] - 1).sum())
    for start in range(0, len(codes), 16 * BLOCK_ROWS):
        rows = slice(start, start + 16 * BLOCK_ROWS)
        deviations = vectors[rows] - means[codes[rows]]  # zero for a speaker's only recording
        scatter += deviations.T @ deviations
    speakers = _Speakers(means.astype(np.float32), counts.astype(np.float64))
    return speakers, scatter / freedom if freedom >= LEAST_WITHIN else None


def _on_axes(model: TwoCovariance, speakers: _Speakers, rows: Ints) -> MeanVector:
    """Some speakers' means on the axes of the model."""
    return MeanVector(speakers.mean[rows] @ model.axes, speakers.count[rows])


def _nearest(one: Vectors, other: Vectors) -> Iterator[tuple[Ints, Ints, Vectors]]:
    """Each speaker of `one` (S, E) with the nearest of `other`: rows of both (K,), cosines (K,)."""
    unit, unit_others = unit_length(one), unit_length(other)
    most = min(NEAREST, len(other))
    for start in range(0, len(one), BLOCK_ROWS):
        cosines = unit[start : start + BLOCK_ROWS] @ unit_others.T
        columns = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        rows = np.repeat(np.arange(len(cosines)), most)
        flat = columns.ravel()
        yield start + rows, flat, cosines[rows, flat]
