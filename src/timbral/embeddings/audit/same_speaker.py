"""Pairs of speakers that are one: the same speaker under two labels."""

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
MIN_UTTERANCES = 4
"""of a speaker that is cut in two to see how one speaker under two labels looks"""


@dataclass(frozen=True)
class SpeakerPair:
    """Codes of two speakers, the cosine of their means, the probability that they are one."""

    first: int
    second: int
    cosine: float
    probability: float


def find_same_speakers(
    vectors: Vectors, rows_of_speakers: Sequence[Ints], sessions: NDArray[np.str_]
) -> Iterator[SpeakerPair]:
    """All pairs of speakers, those first that are most probably one.

    Centered unit vectors (N, E), each speaker's rows, sessions (N,). One speaker under two labels
    is imitated by speakers cut in two, between sessions where they have more than one, else every
    other utterance; two speakers are all pairs. Halves of one session are more alike than sessions
    are, so without sessions the same speaker recorded in two rooms is found too seldom.
    """
    halves = [_halves(rows, sessions) for rows in rows_of_speakers if len(rows) >= MIN_UTTERANCES]
    if len(halves) < 2:  # before memory is taken for every pair
        return
    means = np.stack([unit_mean(vectors[rows]) for rows in rows_of_speakers])
    first, second = np.triu_indices(len(rows_of_speakers), 1)
    cosines = (means @ means.T)[first, second].astype(np.float64)
    same = [float(unit_mean(vectors[one]) @ unit_mean(vectors[two])) for one, two in halves]
    prior = PRIOR / len(rows_of_speakers)
    probability = probabilities_of_few(cosines, np.array(same), prior, wrong_is_low=False)
    for pair in np.argsort(-probability, kind="stable"):
        yield SpeakerPair(
            int(first[pair]), int(second[pair]), float(cosines[pair]), float(probability[pair])
        )


def _halves(rows: Ints, sessions: NDArray[np.str_]) -> tuple[Ints, Ints]:
    names = np.unique(sessions[rows])
    if len(names) > 1:
        in_first_half = np.isin(sessions[rows], names[: len(names) // 2])
        return rows[in_first_half], rows[~in_first_half]
    return rows[::2], rows[1::2]
