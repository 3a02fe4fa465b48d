"""Find utterances that are closer to another speaker than to their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.audit.probability import probabilities
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["LabelCheck", "check_labels"]

PRIOR = 0.01
WRONG_LABELS_EACH, WRONG_LABELS = 5, 500_000
"""random wrong labels per utterance, to learn their scores, and their least number in all"""
ROUNDS = 3
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class LabelCheck:
    """The check of each utterance's label; NaN if it is its speaker's only one."""

    probability: Floats
    """probability that the label is wrong (N,)"""
    own_cosine: Vectors
    """cosine to the mean of the speaker's other utterances (N,)"""
    nearest: Ints
    """code of the nearest other speaker (N,)"""
    nearest_cosine: Vectors
    """cosine to that speaker's mean (N,)"""


def check_labels(vectors: Vectors, codes: Ints) -> LabelCheck:
    """Check the labels `codes` (N,) of centered unit vectors (N, E).

    Each utterance has two scores: the cosine to the mean of its speaker's other utterances, and the
    highest cosine to another speaker's mean. Their values under wrong labels are learned by giving
    utterances random other labels; those under right labels are learned from the actual labels,
    without suspicious ones: at first those closer to another speaker, then those whose label is
    probably wrong. These are also left out of the means.
    """
    trusted = np.ones(len(codes), dtype=bool)
    rng = np.random.default_rng(0)
    draws = min(WRONG_LABELS_EACH, -(-WRONG_LABELS // len(codes)))
    wrong_labels = np.stack([_other_labels(codes, rng) for _ in range(draws)])
    for number in range(ROUNDS):
        scored_with = trusted
        scores = _scores(vectors, codes, trusted, wrong_labels)
        scored = ~np.isnan(scores.own_cosine)
        if number == 0:
            trusted = ~(scores.nearest_cosine > scores.own_cosine)
        pairs = np.column_stack([scores.own_cosine, scores.nearest_cosine]).astype(np.float64)
        right = scored & trusted
        probability = np.full(len(codes), np.nan)
        if right.any() and codes.max() > 0:
            wrong = scores.under_wrong_labels[:, right].reshape(-1, 2)
            probability[scored] = probabilities(pairs[scored], wrong, pairs[right], PRIOR)
        trusted = ~(probability >= 0.5)
        if np.array_equal(trusted, scored_with):
            break  # the next round would be the same
    return LabelCheck(probability, scores.own_cosine, scores.nearest, scores.nearest_cosine)


def _other_labels(codes: Ints, rng: np.random.Generator) -> Ints:
    num_speakers = int(codes.max()) + 1
    return (codes + rng.integers(1, max(num_speakers, 2), len(codes))) % num_speakers


@dataclass(frozen=True)
class _Scores:
    own_cosine: Vectors
    """(N,); NaN for a speaker's only trusted utterance"""
    nearest: Ints
    nearest_cosine: Vectors
    under_wrong_labels: Floats
    """both cosines under each of D wrong labels (D, N, 2)"""


def _scores(
    vectors: Vectors, codes: Ints, trusted: NDArray[np.bool_], wrong_labels: Ints
) -> _Scores:
    num_speakers = int(codes.max()) + 1
    sums = np.zeros((num_speakers, vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(codes), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(codes)))
        rows = rows[trusted[rows]]
        np.add.at(sums, codes[rows], vectors[rows])
    means = unit_length(sums)
    own = np.zeros(len(codes), dtype=np.float32)
    nearest = np.zeros(len(codes), dtype=np.int64)
    nearest_cosine = np.zeros(len(codes), dtype=np.float32)
    under_wrong_labels = np.zeros((len(wrong_labels), len(codes), 2))
    for start in range(0, len(codes), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(codes)))
        local = np.arange(len(rows))
        without_itself = sums[codes[rows]] - vectors[rows] * trusted[rows, None]
        alone = np.linalg.norm(without_itself, axis=1) < 1e-6
        to_own = (vectors[rows] * unit_length(without_itself)).sum(axis=1)
        own[rows] = np.where(alone, np.nan, to_own)
        cosines = vectors[rows] @ means.T  # (B, S)
        cosines[local, codes[rows]] = -np.inf
        nearest[rows] = cosines.argmax(axis=1)
        nearest_cosine[rows] = cosines[local, nearest[rows]]
        to_labels = cosines[local, wrong_labels[:, rows]]  # (D, B)
        cosines[local, nearest[rows]] = -np.inf
        second_cosine = cosines.max(axis=1)
        true = np.nan_to_num(own[rows], nan=-1.0)
        for draw, labels in enumerate(wrong_labels[:, rows]):
            # Under a wrong label the true speaker is one of the others.
            is_nearest = labels == nearest[rows]
            to_other = np.where(is_nearest, second_cosine, nearest_cosine[rows])
            columns = [to_labels[draw], np.maximum(to_other, true)]
            under_wrong_labels[draw, rows] = np.column_stack(columns)
    return _Scores(own, nearest, nearest_cosine, under_wrong_labels)
