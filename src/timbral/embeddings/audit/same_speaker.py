"""Find pairs of labels that are one speaker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.audit.probability import probabilities_of_few
from timbral.embeddings.vectors import unit_mean
from timbral.io.types import Ints, Vectors

__all__ = ["SpeakerPair", "find_same_speakers"]

PRIOR = 0.01
BINS = 2**20
"""number of bins for cosines from -1 to 1, each 2e-6 wide"""
BLOCK_ROWS = 256
"""speakers that are compared with all others at a time"""
MIN_UTTERANCES = 4
"""least number of utterances of the speakers that are split in two, to learn what one speaker under
two labels looks like"""
LEAST_SPEAKERS = 2
"""least number of such speakers"""


@dataclass(frozen=True)
class SpeakerPair:
    """The codes of two labels, the cosine of their means, and the probability of one speaker."""

    first: int
    second: int
    cosine: float
    probability: float


def find_same_speakers(
    vectors: Vectors,
    rows_of_speakers: Sequence[Ints],
    sessions: NDArray[np.str_],
    min_probability: float = 0.0,
) -> Iterator[SpeakerPair]:
    """Pairs of labels of `min_probability` or more, most probable first.

    From centered unit vectors (N, E), each speaker's rows, and sessions (N,). One speaker under two
    labels is imitated by splitting speakers: between sessions if there are several, else every
    other utterance. All pairs serve as two speakers. Halves of one session are more alike than
    sessions are, so without sessions the same speaker recorded in two rooms is found too rarely.

    50,000 speakers have 1.2 billion pairs, so cosines are counted in bins, and only pairs that are
    probable enough are computed again.
    """
    halves = [_halves(rows, sessions) for rows in rows_of_speakers if len(rows) >= MIN_UTTERANCES]
    if len(halves) < LEAST_SPEAKERS:  # checked first, because comparing all pairs takes long
        return
    same = [float(unit_mean(vectors[one]) @ unit_mean(vectors[two])) for one, two in halves]
    means = np.stack([unit_mean(vectors[rows]) for rows in rows_of_speakers])
    counts = np.zeros(BINS + 1, dtype=np.int64)
    for _, _, bins in _pairs_in_blocks(means):
        counts += np.bincount(bins.ravel(), minlength=BINS + 1)
    used = np.flatnonzero(counts[:BINS])
    probability = np.full(BINS + 1, -1.0)
    probability[used] = probabilities_of_few(
        (used.astype(np.float64) + 0.5) / (BINS / 2) - 1,
        np.array(same),
        PRIOR / len(rows_of_speakers),
        wrong_is_low=False,
        counts=counts[used].astype(np.float64),
    )
    pairs: list[SpeakerPair] = []
    for start, cosines, bins in _pairs_in_blocks(means):
        of_pairs = probability[bins]
        pairs += (
            SpeakerPair(
                int(start + row),
                int(start + column),
                float(cosines[row, column]),
                float(of_pairs[row, column]),
            )
            for row, column in np.argwhere(of_pairs >= min_probability)
        )
    yield from sorted(pairs, key=lambda pair: -pair.probability)


def _pairs_in_blocks(means: Vectors) -> Iterator[tuple[int, Vectors, NDArray[np.int32]]]:
    """Blocks of speakers with those of higher codes: first row, cosines (B, C), bins (B, C).

    Row r, column c are of the speakers first row + r and first row + c; the bin `BINS` means no
    pair.
    """
    for start in range(0, len(means), BLOCK_ROWS):
        cosines = means[start : start + BLOCK_ROWS] @ means[start:].T
        bins = np.clip((cosines + 1) * (BINS / 2), 0, BINS - 1).astype(np.int32)
        size = len(cosines)
        bins[:, :size][np.tri(size, dtype=bool)] = BINS
        yield start, cosines, bins


def _halves(rows: Ints, sessions: NDArray[np.str_]) -> tuple[Ints, Ints]:
    """A speaker's rows in two halves, of different sessions if there are several."""
    names = np.unique(sessions[rows])
    if len(names) > 1:
        in_first_half = np.isin(sessions[rows], names[: len(names) // 2])
        return rows[in_first_half], rows[~in_first_half]
    return rows[::2], rows[1::2]
