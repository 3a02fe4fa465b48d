"""Find labels that have the utterances of two speakers."""

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
"""pairs of speakers, merged to learn what two speakers under one label look like"""
MIN_FRACTION = 0.1
"""least fraction of a label's utterances that a second speaker must have, and two at least"""
MIN_UTTERANCES = 4
LEAST_SPEAKERS = 4
"""least number of labels with `MIN_UTTERANCES`, which are merged in pairs"""
PRIOR = 0.01


@dataclass(frozen=True)
class MixedSpeaker:
    """A label's code, the cosine of its two clusters, and the probability of two speakers."""

    speaker: int
    cosine: float
    smaller_cluster: Ints
    """rows of the smaller cluster"""
    probability: float


def find_mixed_speakers(
    vectors: Vectors, rows_of_speakers: Sequence[Ints]
) -> Iterator[MixedSpeaker]:
    """The labels with four utterances or more that may have two speakers, most probable first.

    From centered unit vectors (N, E) and each label's rows. Two speakers under one label are
    imitated by merging pairs of speakers.
    """
    large = [code for code, rows in enumerate(rows_of_speakers) if len(rows) >= MIN_UTTERANCES]
    if len(large) < LEAST_SPEAKERS:
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
    """The cosine between the means of two clusters, and the rows of the smaller one.

    If a cluster is too small for a speaker, the cosine is 1: single utterances are found as
    mislabeled.
    """
    second = spherical_k_means(vectors[rows], 2) == 1
    if second.sum() < max(2.0, MIN_FRACTION * len(rows)):
        return 1.0, rows[second]
    cosine = float(unit_mean(vectors[rows[~second]]) @ unit_mean(vectors[rows[second]]))
    return cosine, rows[second]
