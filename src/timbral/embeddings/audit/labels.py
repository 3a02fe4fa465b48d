"""Utterances that are nearer to another speaker than to their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.audit.calibration import Scores, probabilities
from timbral.embeddings.vectors import unit_length

__all__ = ["Labels", "centered", "check_labels"]

PRIOR = 0.01
DRAWS = 5
"""wrong labels that every utterance is given to see how wrong labels look"""
ROUNDS = 3
BLOCK = 4096


@dataclass(frozen=True)
class Labels:
    """What is thought of each utterance's label; NaN where its speaker has no other one."""

    probability: NDArray[np.float64]
    """that the label is wrong (N,)"""
    own: NDArray[np.float32]
    """cosine to the speaker's other utterances' mean (N,)"""
    nearest: NDArray[np.int64]
    """the nearest other speaker (N,)"""
    other: NDArray[np.float32]
    """cosine to that speaker's mean (N,)"""


def centered(vectors: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Unit vectors (N, E) minus the mean over speakers: what all have in common is no evidence."""
    counts = np.bincount(codes)
    means = _sums(vectors, codes) / counts[:, None]
    return unit_length(vectors - means.mean(axis=0))


def check_labels(vectors: NDArray[np.float32], codes: NDArray[np.int64]) -> Labels:
    """Judge the labels `codes` (N,) of centered unit vectors (N, E).

    Two scores an utterance: the cosine to the mean of its speaker's other utterances, and the
    highest cosine to another speaker's mean. What they are under wrong labels is seen by giving
    utterances other labels at random; under right labels, from the labels as they are, without
    the doubted ones: at first those nearer to another speaker, then those whose label is more
    probably wrong than right. Means leave these out, too.
    """
    trusted = np.ones(len(codes), dtype=bool)
    rng = np.random.default_rng(0)
    drawn = np.stack([_other_labels(codes, rng) for _ in range(DRAWS)])
    for number in range(ROUNDS):
        own, nearest, other, wrong = _scores(vectors, codes, trusted, drawn)
        known = ~np.isnan(own)
        if number == 0:
            trusted = ~(other > own)
        found = np.column_stack([own, other]).astype(np.float64)
        usable = known & trusted
        probability = np.full(len(codes), np.nan)
        if usable.any() and codes.max() > 0:
            known_wrong = wrong[:, usable].reshape(-1, 2)
            probability[known] = probabilities(found[known], known_wrong, found[usable], PRIOR)
        trusted = ~(probability >= 0.5)
    return Labels(probability, own, nearest, other)


def _other_labels(codes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    speakers = int(codes.max()) + 1
    return (codes + rng.integers(1, max(speakers, 2), len(codes))) % speakers


def _scores(
    vectors: NDArray[np.float32],
    codes: NDArray[np.int64],
    trusted: NDArray[np.bool_],
    drawn: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], Scores]:
    """Own cosine, nearest other speaker and its cosine; and both scores under the drawn labels."""
    sums = _sums(vectors[trusted], codes[trusted], int(codes.max()) + 1)
    means = unit_length(sums)
    rest = sums[codes] - vectors * trusted[:, None]  # without the utterance itself
    alone = np.linalg.norm(rest, axis=1) < 1e-6
    own = np.where(alone, np.nan, (vectors * unit_length(rest)).sum(axis=1)).astype(np.float32)
    nearest = np.zeros(len(codes), dtype=np.int64)
    other = np.zeros(len(codes), dtype=np.float32)
    wrong = np.zeros((len(drawn), len(codes), 2))
    for start in range(0, len(codes), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(codes)))
        local = np.arange(len(rows))
        cosines = vectors[rows] @ means.T  # (B, S)
        cosines[local, codes[rows]] = -np.inf
        nearest[rows] = cosines.argmax(axis=1)
        other[rows] = cosines[local, nearest[rows]]
        true = np.nan_to_num(own[rows], nan=-1.0)
        for draw, labels in enumerate(drawn[:, rows]):
            kept = cosines[local, labels].copy()
            cosines[local, labels] = -np.inf
            wrong[draw, rows] = np.column_stack([kept, np.maximum(cosines.max(axis=1), true)])
            cosines[local, labels] = kept
    return own, nearest, other, wrong


def _sums(
    vectors: NDArray[np.float32], codes: NDArray[np.int64], speakers: int | None = None
) -> NDArray[np.float32]:
    sums = np.zeros((speakers or int(codes.max()) + 1, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, codes, vectors)
    return sums
