"""Speakers that are one person, and speakers that are two."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.aggregate import clusters_of
from timbral.embeddings.audit.calibration import probabilities_of_few
from timbral.embeddings.vectors import unit_length

__all__ = ["check_one", "check_two"]

MERGES = 400
"""pairs of speakers thrown together to see how two people under one name look"""
SMALLEST_SHARE = 0.1
"""of a speaker's utterances that a second person must have, and two utterances at least"""
PRIOR = 0.01

Vectors = NDArray[np.float32]


def check_one(
    vectors: Vectors, owned: list[NDArray[np.int64]], sessions: NDArray[np.str_]
) -> Iterator[tuple[int, int, float, float]]:
    """Pairs of speakers, the cosine of their means, and the probability that they are one person.

    One person under two names is imitated by speakers cut in two, between sessions where they
    have more than one, else every other utterance; two people are all pairs. Halves of one
    session are more alike than sessions are, so without sessions this is too sceptical of twins
    recorded in different rooms.
    """
    means = np.stack([_mean(vectors[rows]) for rows in owned])
    halves = [_halves(rows, sessions) for rows in owned if len(rows) >= 4]
    first, second = np.triu_indices(len(owned), 1)
    if len(halves) < 2 or not len(first):
        return
    cosines = (means @ means.T)[first, second].astype(np.float64)
    alike = [float(_mean(vectors[one]) @ _mean(vectors[two])) for one, two in halves]
    found = probabilities_of_few(cosines, np.array(alike), PRIOR / len(owned), low=False)
    for pair in np.argsort(-found, kind="stable"):
        yield int(first[pair]), int(second[pair]), float(cosines[pair]), float(found[pair])


def _halves(
    rows: NDArray[np.int64], sessions: NDArray[np.str_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names = np.unique(sessions[rows])
    if len(names) > 1:
        first = np.isin(sessions[rows], names[: len(names) // 2])
        return rows[first], rows[~first]
    return rows[::2], rows[1::2]


def check_two(
    vectors: Vectors, owned: list[NDArray[np.int64]]
) -> Iterator[tuple[int, float, NDArray[np.int64], float]]:
    """Speakers, the cosine between their two clusters, the smaller one, and the probability
    that these are two people.

    Two people under one name are imitated by pairs of speakers thrown together.
    """
    large = [speaker for speaker, rows in enumerate(owned) if len(rows) >= 4]
    if len(large) < 4:
        return
    rng = np.random.default_rng(0)
    pairs = [rng.choice(large, 2, replace=False) for _ in range(MERGES)]
    merged = [_split(vectors, np.concatenate([owned[a], owned[b]]))[0] for a, b in pairs]
    splits = [_split(vectors, owned[speaker]) for speaker in large]
    cosines = np.array([cosine for cosine, _ in splits])
    found = probabilities_of_few(cosines, np.array(merged), PRIOR, low=True)
    for index in np.argsort(-found, kind="stable"):
        cosine, smaller = splits[index]
        yield large[index], float(cosine), smaller, float(found[index])


def _split(vectors: Vectors, rows: NDArray[np.int64]) -> tuple[float, NDArray[np.int64]]:
    """Cosine between the means of two clusters, and the rows of the smaller one.

    A cluster that is too small for a person gives a cosine of one: stray utterances are doubts
    about labels.
    """
    second = clusters_of(vectors[rows], 2) == 1
    if second.sum() < max(2.0, SMALLEST_SHARE * len(rows)):
        return 1.0, rows[second]
    cosine = float(_mean(vectors[rows[~second]]) @ _mean(vectors[rows[second]]))
    return cosine, rows[second]


def _mean(vectors: Vectors) -> Vectors:
    return unit_length(vectors.mean(axis=0))
