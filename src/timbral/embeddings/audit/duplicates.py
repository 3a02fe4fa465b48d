"""Find pairs of files with the same recording, perhaps in different encodings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from timbral.io.types import Floats, Ints, Vectors

__all__ = ["LEAST_PAIRS", "Duplicate", "find_duplicates"]

LENGTH_TOLERANCE, PADDING_SECONDS = 0.01, 0.05
"""how much the lengths of duplicates may differ: a fraction of the length, and the padding of
codecs"""
MAX_PAIRS = 200_000
"""pairs of one speaker's utterances from which distances by chance are learned"""
LEAST_PAIRS = 100
"""least number of such pairs; fewer do not tell what is near by chance"""
EXPECTED_DUPLICATES = 0.01
"""expected number of duplicates in a corpus, before any pair is compared; the nearest pair of a
corpus without duplicates is at λ = 1 on average"""
BLOCK_ROWS, BLOCK_COLUMNS = 2048, 8192


@dataclass(frozen=True)
class Duplicate:
    """The rows of two utterances, their cosine, and the probability that they are the same
    recording.
    """

    first: int
    second: int
    cosine: float
    probability: float


def find_duplicates(
    vectors: Vectors,
    seconds: Floats,
    rows_of_speakers: Sequence[Ints],
    min_probability: float = 0.0,
) -> Iterator[Duplicate]:
    """Pairs of utterances of similar length that are closer than by chance, most probable first.

    From unit vectors (N, E), durations (N,) and each speaker's rows. How close two different
    recordings of one speaker are by chance is learned from such pairs: the fraction of them at a
    distance d = 1 - cosine or less is modeled as a power of d, through its 1 % and 5 % quantiles.
    Together with the fraction of pairs of similar length, this gives the expected number λ of pairs
    as close by chance. Duplicates are assumed to be rare, one in a hundred corpora beforehand, so
    the probability is 1 / (1 + 100 λ). Pairs below `min_probability` are left out before memory is
    allocated for them: 50,000 utterances have 1.2 billion pairs, of which 1 % are candidates.
    """
    distances, similar_length = _chance(vectors, seconds, rows_of_speakers)
    if len(distances) < LEAST_PAIRS:
        return
    low, high = np.quantile(distances, [0.01, 0.05])
    power = math.log(5.0) / max(math.log(high / max(low, 1e-9)), 1e-3)
    num_pairs = sum(len(rows) * (len(rows) - 1) / 2 for rows in rows_of_speakers)
    duplicates = []
    farthest = float(low)
    if min_probability > 0:  # the distance at which a pair has just this probability
        most = EXPECTED_DUPLICATES * (1 / min_probability - 1)  # its λ
        fraction = max(most / (num_pairs * similar_length), 1e-300)
        log_distance = math.log(max(low, 1e-9)) + math.log(fraction / 0.01) / power
        farthest = min(farthest, max(math.exp(min(log_distance, 0.0)), 1e-7) * (1 + 1e-6))
    for first, second, cosine in _near_pairs(vectors, seconds, farthest):
        fraction = 0.01 * (max(1.0 - cosine, 1e-7) / max(low, 1e-9)) ** power
        expected = num_pairs * fraction * similar_length  # λ
        probability = 1.0 / (1.0 + expected / EXPECTED_DUPLICATES)
        if probability >= min_probability:
            duplicates.append(Duplicate(first, second, cosine, probability))
    yield from sorted(duplicates, key=lambda pair: -pair.probability)


def _chance(
    vectors: Vectors, seconds: Floats, rows_of_speakers: Sequence[Ints]
) -> tuple[Floats, float]:
    """Distances of pairs within speakers, and the fraction of all pairs with similar lengths."""
    rng = np.random.default_rng(0)
    with_pairs = [rows for rows in rows_of_speakers if len(rows) > 1]
    pairs_each = max(1, MAX_PAIRS // max(len(with_pairs), 1))
    firsts, seconds_of_pairs = [], []
    for rows in with_pairs:
        one, two = (
            np.triu_indices(len(rows), 1)
            if len(rows) <= 1000
            else rng.integers(0, len(rows), (2, pairs_each))
        )
        kept = rng.permutation(len(one))[:pairs_each]
        firsts.append(rows[one[kept]])
        seconds_of_pairs.append(rows[two[kept]])
    if not firsts:
        return np.empty(0), 0.0
    first, second = np.concatenate(firsts), np.concatenate(seconds_of_pairs)
    first, second = first[first != second], second[first != second]
    distances = 1.0 - np.einsum("ne,ne->n", vectors[first], vectors[second]).astype(np.float64)
    difference = np.abs(seconds[first] - seconds[second])
    is_similar = difference <= _tolerance(np.minimum(seconds[first], seconds[second]))
    return np.maximum(distances, 1e-7), max(float(is_similar.mean()), 1.0 / len(is_similar))


def _tolerance(seconds: Floats) -> Floats:
    return PADDING_SECONDS + LENGTH_TOLERANCE * seconds


def _near_pairs(
    vectors: Vectors, seconds: Floats, max_distance: float
) -> Iterator[tuple[int, int, float]]:
    """Pairs of similar length at `max_distance` or less, of any speakers: two rows, their cosine.

    With rows in order of duration, pairs of similar length are consecutive: row i is compared with
    i + 1 .. ends[i] - 1. A block of rows is compared with all rows up to the end of its last one.
    """
    order = np.argsort(seconds, kind="stable")
    durations = seconds[order]
    ends = np.searchsorted(durations, durations + _tolerance(durations), "right")
    for start in range(0, len(order), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(order))
        rows = vectors[order[start:stop]]
        last = int(ends[stop - 1])
        for begin in range(start, last, BLOCK_COLUMNS):  # all rows, if all have the same length
            columns = order[begin : min(begin + BLOCK_COLUMNS, last)]
            cosines = rows @ vectors[columns].T
            for row, column in np.argwhere(cosines >= 1.0 - max_distance):
                if start + row < begin + column < ends[start + row]:
                    first, second = sorted((int(order[start + row]), int(columns[column])))
                    yield first, second, float(min(cosines[row, column], 1.0))
