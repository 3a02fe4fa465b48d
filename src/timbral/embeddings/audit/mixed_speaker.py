"""Speakers that are two: the utterances of two speakers under one label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from timbral.embeddings.audit.probability import probabilities_of_few
from timbral.embeddings.clustering import spherical_k_means
from timbral.embeddings.vectors import unit_mean
from timbral.io.types import Ints, Vectors

__all__ = ["MixedSpeaker", "find_mixed_speakers"]

MERGED_PAIRS = 400
"""of speakers, put under one label to see how two speakers under one label look"""
MIN_FRACTION = 0.1
"""of a speaker's utterances that a second speaker must have, and two utterances at least"""
MIN_UTTERANCES = 4
PRIOR = 0.01


@dataclass(frozen=True)
class MixedSpeaker:
    """A speaker's code, its two clusters' cosine, and the probability that it is two."""

    speaker: int
    cosine: float
    smaller_cluster: Ints
    """its rows"""
    probability: float


def find_mixed_speakers(
    vectors: Vectors, rows_of_speakers: Sequence[Ints]
) -> Iterator[MixedSpeaker]:
    """Speakers of four and more utterances, those first that are most probably two.

    Centered unit vectors (N, E) and each speaker's rows. Two speakers under one label are imitated
    by pairs of speakers thrown together.
    """
    large = [code for code, rows in enumerate(rows_of_speakers) if len(rows) >= MIN_UTTERANCES]
    if len(large) < 4:
        return
    rng = np.random.default_rng(0)
    pairs = [rng.choice(large, 2, replace=False) for _ in range(MERGED_PAIRS)]
    merged = [
        _split(vectors, np.concatenate([rows_of_speakers[first], rows_of_speakers[second]]))[0]
        for first, second in pairs
    ]
    splits = [_split(vectors, rows_of_speakers[speaker]) for speaker in large]
    cosines = np.array([cosine for cosine, _ in splits])
    probability = probabilities_of_few(cosines, np.array(merged), PRIOR, wrong_is_low=True)
    for index in np.argsort(-probability, kind="stable"):
        cosine, smaller_cluster = splits[index]
        if not len(smaller_cluster):  # all its vectors are the same
            continue
        yield MixedSpeaker(large[index], cosine, smaller_cluster, float(probability[index]))


def _split(vectors: Vectors, rows: Ints) -> tuple[float, Ints]:
    """Cosine between the means of two clusters, and the rows of the smaller one.

    A cluster that is too small for a speaker gives a cosine of one: stray utterances are found as
    mislabeled.
    """
    second = spherical_k_means(vectors[rows], 2) == 1
    if second.sum() < max(2.0, MIN_FRACTION * len(rows)):
        return 1.0, rows[second]
    cosine = float(unit_mean(vectors[rows[~second]]) @ unit_mean(vectors[rows[second]]))
    return cosine, rows[second]
