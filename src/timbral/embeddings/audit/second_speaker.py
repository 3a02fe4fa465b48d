"""Recordings in which a second speaker talks: what lies before and behind a moment disagrees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from timbral.embeddings.audit.known_speakers import KnownSpeakers
from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["LEAST_RECORDINGS", "SecondSpeaker", "SplitRecordings", "find_second_speakers"]

LEAST_RECORDINGS = 8
"""in two parts, of two speakers or more; fewer tell nothing about what is usual"""
NOT_AVERAGED = 0.3
"""of a second's variance, what more speech does not average out"""
MOST_OTHERS = 3
"""of a speaker's other recordings, however many there are: all may be of another day than this"""
EVIDENCE = 0.1
"""of the log ratio: numbers of a vector are less independent than the model takes them to be"""
PRIOR = 0.01
"""It is not estimated from the corpus: one speaker's scores have a long tail, which would be
taken for many recordings of two."""
KNOWN = 0.5
"""how often a second speaker is one of the corpus; else it is somebody who is not in it"""
MISLABELED = 0.02
"""recordings that are not the label's at all"""
FOLDS = 5
BLOCK_RECORDINGS = 4096
ROUNDS, TRUSTED = 2, 0.9
"""how often, and on which fraction of the recordings, those with the lowest scores, the model is
fitted again: recordings of two speakers would be taken for what is usual"""


@dataclass(frozen=True)
class SplitRecordings:
    """Recordings (K), each cut in two at the moment before and behind which it differs most."""

    rows: Ints
    """the recordings' numbers in the corpus (K,)"""
    parts: Vectors
    """vectors of what lies before and behind the moment (K, 2, E), unit length"""
    seconds: Floats
    """that each part lasts (K, 2)"""
    moments: Floats
    """seconds from the recording's start (K,)"""

    @classmethod
    def joined(cls, blocks: Sequence[SplitRecordings]) -> SplitRecordings:
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(each, name) for each in blocks]) for name in names))

    def part(self, which: NDArray[np.bool_]) -> SplitRecordings:
        return SplitRecordings(
            self.rows[which], self.parts[which], self.seconds[which], self.moments[which]
        )

    @property
    def counts(self) -> Floats:
        """How many independent seconds each part is worth (K, 2)."""
        return np.asarray(1 / (1 / self.seconds + NOT_AVERAGED))


@dataclass(frozen=True)
class SecondSpeaker:
    """A recording in which a second speaker talks before or behind a moment."""

    recording: int
    """its number in the corpus"""
    cosine: float
    """of its two parts"""
    moment: float
    """seconds from the recording's start, where the voice changes"""
    is_behind: bool
    """whether the part behind the moment is the second speaker's, else that before it"""
    probability: float
    """that the parts are of two speakers"""


def find_second_speakers(
    recordings: Iterable[SplitRecordings], codes: Ints
) -> Iterator[SecondSpeaker]:
    """Recordings of which one part is another speaker's, the most probable first.

    `codes` (N,) are the labels of the corpus's speakers. The score is the log ratio of two
    speakers before and behind the moment, one of whom is the label's and the other any speaker of
    the corpus or a stranger, over one speaker, who may be the label's or not (`two_covariance`).
    How much the parts of one speaker's recordings differ is learned from the recordings
    themselves, without those with the highest scores.

    `recordings`, in blocks of any size, are gone through eight times, so they need not be in
    memory.
    """
    recordings = _LargerBlocks(recordings)
    corpus = _Corpus.of(recordings, codes)
    if corpus is None:
        return
    for _ in range(ROUNDS):
        scores = np.full(len(codes), np.inf)
        for block in recordings:
            scores[block.rows] = corpus.scores(block)[0]
        known = np.isfinite(scores)
        trusted = known & (scores <= np.quantile(scores[known], TRUSTED))
        models = _models(recordings, corpus.common, trusted)
        corpus = replace(corpus, models=models)
    speakers = corpus.known_speakers()
    found = [
        (block.rows, *corpus.scores(block, speakers), corpus.cosines(block), block.moments)
        for block in recordings
    ]
    columns = (np.concatenate(each) for each in zip(*found, strict=True))
    rows, scores, is_behind, cosines, moments = columns
    odds = np.clip(EVIDENCE * scores + np.log(PRIOR / (1 - PRIOR)), -60, 60)
    probability = 1 / (1 + np.exp(-odds))
    for index in np.argsort(-odds, kind="stable"):
        yield SecondSpeaker(
            int(rows[index]),
            float(cosines[index]),
            float(moments[index]),
            bool(is_behind[index]),
            float(probability[index]),
        )


@dataclass(frozen=True)
class _LargerBlocks:
    """The same recordings in larger blocks: a few at a time take several times as long."""

    blocks: Iterable[SplitRecordings]

    def __iter__(self) -> Iterator[SplitRecordings]:
        waiting: list[SplitRecordings] = []
        for block in self.blocks:
            waiting.append(block)
            if sum(len(each.rows) for each in waiting) >= BLOCK_RECORDINGS:
                yield SplitRecordings.joined(waiting)
                waiting = []
        if waiting:
            yield SplitRecordings.joined(waiting)


@dataclass(frozen=True)
class _Corpus:
    """What is known of all recordings in two parts."""

    codes: Ints
    """(N,)"""
    common: Vectors
    """the mean (E,) of the recordings' vectors, which tells nothing about anybody"""
    models: list[TwoCovariance]
    """one for each fold of the recordings, fitted on the other folds: in a model that has seen it,
    what sets a recording's two speakers apart is what differs within recordings"""
    sums: Floats
    """of each speaker's recordings (S, E)"""
    numbers: Ints
    """of these recordings (S,)"""
    least_count: float
    """of a part"""
    most_count: float

    @classmethod
    def of(cls, recordings: Iterable[SplitRecordings], codes: Ints) -> _Corpus | None:
        """None where they are too few to tell anything."""
        total, numbers = 0, np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
        common: Floats | None = None
        least, most = np.inf, 0.0
        for block in recordings:
            least = min(least, block.counts.min(initial=np.inf))
            most = max(most, block.counts.max(initial=0.0))
            total += len(block.rows)
            numbers += np.bincount(codes[block.rows], minlength=len(numbers))
            mean = _whole(block.parts, block.seconds).sum(axis=0)
            common = mean if common is None else common + mean
        if common is None or total < LEAST_RECORDINGS or np.count_nonzero(numbers) < 2:
            return None
        middle = np.asarray(common / total, dtype=np.float32)
        sums = np.zeros((len(numbers), len(middle)))
        for block in recordings:
            np.add.at(sums, codes[block.rows], _whole(_around(block.parts, middle), block.seconds))
        everything = np.ones(len(codes), dtype=bool)
        models = _models(recordings, middle, everything)
        return cls(codes, middle, models, sums, numbers, float(least), float(most))

    def cosines(self, block: SplitRecordings) -> Floats:
        vectors = _around(block.parts, self.common)
        return np.asarray((vectors[:, 0] * vectors[:, 1]).sum(axis=1))

    def known_speakers(self) -> list[KnownSpeakers]:
        """All speakers, for each of the models."""
        means = self.sums / np.maximum(self.numbers, 1)[:, None]
        counts = np.minimum(self.numbers, MOST_OTHERS)
        noises = (1 / (2 * self.most_count), 1 / self.least_count)  # of both parts, and of one
        return [KnownSpeakers.of(model, means, counts, noises) for model in self.models]

    def scores(
        self, block: SplitRecordings, known: list[KnownSpeakers] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The log ratio of each recording (K,), and whether its second speaker talks behind.

        Without `known` speakers the second speaker is a stranger. Where nothing else of the label
        is there, the shorter part is taken for the second speaker's.
        """
        vectors, counts = _around(block.parts, self.common), block.counts
        code = self.codes[block.rows]
        number = self.numbers[code] - 1
        rest = self.sums[code] - _whole(vectors, block.seconds)
        others = rest / np.maximum(number, 1)[:, None]
        worth = np.maximum(np.minimum(number, MOST_OTHERS), 1e-9)
        scores, is_behind = np.zeros(len(block.rows)), np.zeros(len(block.rows), dtype=bool)
        for fold, model in enumerate(self.models):
            own = block.rows % FOLDS == fold
            before, behind = (
                MeanVector(vectors[own, side] @ model.axes, counts[own, side]) for side in (0, 1)
            )
            of_label = MeanVector(others[own] @ model.axes, worth[own])
            anybody = np.zeros((3, np.count_nonzero(own)))
            if known is not None:
                for each, of_side in enumerate((before, behind, before.with_(behind))):
                    anybody[each] = known[fold].anybody(of_side, code[own], KNOWN)
            scores[own], told = _two_speakers(model, before, behind, of_label, anybody)
            shorter = behind.count <= before.count
            is_behind[own] = np.where(number[own] > 0, told, shorter)
        return scores, is_behind


def _models(
    recordings: Iterable[SplitRecordings], common: Vectors, trusted: NDArray[np.bool_]
) -> list[TwoCovariance]:
    """A model for each fold, of the recordings of the others that are `trusted` (N,)."""
    size = len(common)
    scatter, inverse, count = np.zeros((FOLDS, size, size)), np.zeros(FOLDS), np.zeros(FOLDS)
    for everything in recordings:
        block = everything.part(trusted[everything.rows])
        vectors, inverses = _around(block.parts, common), 1 / block.counts
        apart = (vectors[:, 0] - vectors[:, 1]) / np.sqrt(inverses.sum(axis=1))[:, None]
        for fold in range(FOLDS):
            own = block.rows % FOLDS == fold
            scatter[fold] += apart[own].T @ apart[own]
            inverse[fold] += inverses[own].mean(axis=1).sum()
            count[fold] += np.count_nonzero(own)
    models = []
    for fold in range(FOLDS):
        others = np.arange(FOLDS) != fold
        number = max(count[others].sum(), 1.0)
        within = scatter[others].sum(axis=0) / number
        models.append(TwoCovariance.fit(within, 1.0, inverse[others].sum() / number))
    return models


def _around(parts: Vectors, common: Vectors) -> Floats:
    """Unit vectors (K, 2, E) of parts, without what all have in common."""
    return unit_length(parts - common).astype(np.float64)


def _whole(vectors: Floats | Vectors, seconds: Floats) -> Floats:
    """The mean (K, E) of parts, in which every second counts the same."""
    weights = seconds / seconds.sum(axis=1, keepdims=True)
    return np.asarray((vectors * weights[:, :, None]).sum(axis=1))


def _two_speakers(
    model: TwoCovariance,
    before: MeanVector,
    behind: MeanVector,
    of_label: MeanVector,
    anybody: Floats,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Log ratios (K,) of two speakers, one of them the label's, over one; and whether the other
    one's part is more probably that behind.

    `of_label` are the label's other recordings; of next to nothing, where there are none.
    `anybody` (3, K) says by how much, in logarithms, the part before, that behind and both are
    more probable as anybody's but the label's than as a stranger's.
    """
    one_voice = -model.log_ratio(before, behind)
    ratios = []
    for own, another, by_another in ((before, behind, anybody[1]), (behind, before, anybody[0])):
        by_label = -model.log_ratio(own, of_label)
        all_by_label = by_label - model.log_ratio(another, own.with_(of_label))
        mislabeled = one_voice + anybody[2]
        one = np.logaddexp(np.log(1 - MISLABELED) + all_by_label, np.log(MISLABELED) + mislabeled)
        ratios.append(by_label + by_another - one)
    return np.logaddexp(*ratios) - np.log(2), ratios[0] >= ratios[1]
