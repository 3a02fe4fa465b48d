"""Find recordings with a second speaker: the parts before and after a moment disagree."""

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
"""least number of recordings with two parts, of two speakers or more; fewer are too few to fit"""
NOT_AVERAGED = 0.3
"""fraction of the variance of a second of speech that more speech does not average out"""
MOST_OTHERS = 3
"""a speaker's other recordings count as at most so many independent ones, because all of them may
be of another day than this one"""
EVIDENCE = 0.11
"""factor for log ratios: a vector's components are less independent than the model assumes"""
PRIOR = 0.01
"""not estimated from the corpus, because the scores of recordings of one speaker have a long tail,
which would be mistaken for many recordings of two"""
KNOWN = 0.5
"""probability that a second speaker is one of the corpus"""
MISLABELED = 0.02
"""probability that a recording is not of the label's speaker at all"""
FOLDS = 5
BLOCK_RECORDINGS = 4096
ROUNDS, TRUSTED = 2, 0.9
"""number of times that the model is fitted again, and the fraction of recordings, those with the
lowest scores, that it is then fitted to: recordings of two speakers would bias it"""


@dataclass(frozen=True)
class SplitRecordings:
    """Recordings (K), each split at the moment at which the voice before and after differs most."""

    rows: Ints
    """rows of the recordings in the corpus (K,)"""
    parts: Vectors
    """vectors of the parts before and after the moment (K, 2, E), unit length"""
    seconds: Floats
    """seconds of speech of the parts, less if they have pauses (K, 2)"""
    moments: Floats
    """the moments, in seconds from the recording's start (K,)"""

    @classmethod
    def joined(cls, blocks: Sequence[SplitRecordings]) -> SplitRecordings:
        names = [each.name for each in fields(cls)]
        return cls(*(np.concatenate([getattr(each, name) for each in blocks]) for name in names))

    def subset(self, which: NDArray[np.bool_]) -> SplitRecordings:
        """Some of the recordings: those for which `which` (K,) is True."""
        return SplitRecordings(
            self.rows[which], self.parts[which], self.seconds[which], self.moments[which]
        )

    @property
    def counts(self) -> Floats:
        """Number of independent seconds to which each part is equivalent (K, 2)."""
        return np.asarray(1 / (1 / self.seconds + NOT_AVERAGED))


@dataclass(frozen=True)
class SecondSpeaker:
    """A recording in which a second speaker talks before or after a moment."""

    recording: int
    """its row in the corpus"""
    cosine: float
    """cosine of its two parts"""
    moment: float
    """time of the change of the voice, in seconds from the recording's start"""
    is_after: bool
    """whether the second speaker talks after the moment, instead of before it"""
    probability: float
    """probability that the parts are of two speakers"""


def find_second_speakers(
    recordings: Iterable[SplitRecordings], codes: Ints
) -> Iterator[SecondSpeaker]:
    """Recordings of which one part is another speaker's, the most probable first.

    `codes` (N,) are the labels of the corpus's recordings. The score is a log-likelihood ratio
    (`two_covariance`): two speakers before and after the moment, one of them the label's and the
    other another speaker of the corpus or an unknown one, over a single speaker, who may be the
    label's or not. How much the parts of one speaker's recordings differ is learned from the
    recordings themselves, without those with the highest scores.

    `recordings`, in blocks of any size, are read eight times, so they need not be in memory.
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
    rows, scores, is_after, cosines, moments = columns
    odds = np.clip(EVIDENCE * scores + np.log(PRIOR / (1 - PRIOR)), -60, 60)
    probability = 1 / (1 + np.exp(-odds))
    for index in np.argsort(-odds, kind="stable"):
        yield SecondSpeaker(
            int(rows[index]),
            float(cosines[index]),
            float(moments[index]),
            bool(is_after[index]),
            float(probability[index]),
        )


@dataclass(frozen=True)
class _LargerBlocks:
    """The same recordings in larger blocks, because small ones take several times as long."""

    blocks: Iterable[SplitRecordings]

    def __iter__(self) -> Iterator[SplitRecordings]:
        collected: list[SplitRecordings] = []
        for block in self.blocks:
            collected.append(block)
            if sum(len(each.rows) for each in collected) >= BLOCK_RECORDINGS:
                yield SplitRecordings.joined(collected)
                collected = []
        if collected:
            yield SplitRecordings.joined(collected)


@dataclass(frozen=True)
class _Corpus:
    """Statistics of all recordings with two parts."""

    codes: Ints
    """labels (N,)"""
    common: Vectors
    """mean of the recordings' vectors (E,), which is subtracted"""
    models: list[TwoCovariance]
    """a model for each fold of the recordings, fitted to the other folds: a model fitted to a
    recording of two speakers takes their difference for variation within a speaker"""
    sums: Floats
    """sums of each speaker's recordings (S, E)"""
    numbers: Ints
    """number of these recordings (S,)"""
    least_count: float
    """lowest `SplitRecordings.counts` of a part"""
    most_count: float

    @classmethod
    def of(cls, recordings: Iterable[SplitRecordings], codes: Ints) -> _Corpus | None:
        """Compute the statistics; None if there are too few recordings or speakers."""
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
        center = np.asarray(common / total, dtype=np.float32)
        sums = np.zeros((len(numbers), len(center)))
        for block in recordings:
            whole = _whole(_centered(block.parts, center), block.seconds)
            np.add.at(sums, codes[block.rows], whole)
        models = _models(recordings, center, np.ones(len(codes), dtype=bool))
        return cls(codes, center, models, sums, numbers, float(least), float(most))

    def cosines(self, block: SplitRecordings) -> Floats:
        """The cosine of each recording's two parts (K,)."""
        vectors = _centered(block.parts, self.common)
        return np.asarray((vectors[:, 0] * vectors[:, 1]).sum(axis=1))

    def known_speakers(self) -> list[KnownSpeakers]:
        """All speakers of the corpus, for each model."""
        means = self.sums / np.maximum(self.numbers, 1)[:, None]
        counts = np.minimum(self.numbers, MOST_OTHERS)
        noises = (1 / (2 * self.most_count), 1 / self.least_count)  # of both parts, and of one
        return [KnownSpeakers.of(model, means, counts, noises) for model in self.models]

    def scores(
        self, block: SplitRecordings, known: list[KnownSpeakers] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """The log ratio of each recording (K,), and whether its second speaker talks at the end.

        Without `known`, the second speaker is an unknown one. If a label has no other recording,
        the shorter part counts as the second speaker's.
        """
        vectors, counts = _centered(block.parts, self.common), block.counts
        code = self.codes[block.rows]
        number = self.numbers[code] - 1
        rest = self.sums[code] - _whole(vectors, block.seconds)
        others = rest / np.maximum(number, 1)[:, None]
        other_counts = np.maximum(np.minimum(number, MOST_OTHERS), 1e-9)
        scores, is_after = np.zeros(len(block.rows)), np.zeros(len(block.rows), dtype=bool)
        for fold, model in enumerate(self.models):
            own = block.rows % FOLDS == fold
            before, after = (
                MeanVector(vectors[own, side] @ model.axes, counts[own, side]) for side in (0, 1)
            )
            of_label = MeanVector(others[own] @ model.axes, other_counts[own])
            anybody = np.zeros((3, np.count_nonzero(own)))
            if known is not None:
                for each, of_side in enumerate((before, after, before.with_(after))):
                    anybody[each] = known[fold].anybody(of_side, code[own], KNOWN)
            scores[own], more_probable = _two_speakers(model, before, after, of_label, anybody)
            shorter = after.count <= before.count
            is_after[own] = np.where(number[own] > 0, more_probable, shorter)
        return scores, is_after


def _models(
    recordings: Iterable[SplitRecordings], common: Vectors, trusted: NDArray[np.bool_]
) -> list[TwoCovariance]:
    """A model for each fold, fitted to the `trusted` (N,) recordings of the other folds."""
    size = len(common)
    scatter, inverse, count = np.zeros((FOLDS, size, size)), np.zeros(FOLDS), np.zeros(FOLDS)
    for recorded in recordings:
        block = recorded.subset(trusted[recorded.rows])
        vectors, inverses = _centered(block.parts, common), 1 / block.counts
        difference = (vectors[:, 0] - vectors[:, 1]) / np.sqrt(inverses.sum(axis=1))[:, None]
        for fold in range(FOLDS):
            own = block.rows % FOLDS == fold
            scatter[fold] += difference[own].T @ difference[own]
            inverse[fold] += inverses[own].mean(axis=1).sum()
            count[fold] += np.count_nonzero(own)
    models = []
    for fold in range(FOLDS):
        others = np.arange(FOLDS) != fold
        number = max(count[others].sum(), 1.0)
        within = scatter[others].sum(axis=0) / number
        models.append(TwoCovariance.fit(within, 1.0, inverse[others].sum() / number))
    return models


def _centered(parts: Vectors, common: Vectors) -> Floats:
    """Unit vectors (K, 2, E) of parts minus the mean of all (E,)."""
    return unit_length(parts - common).astype(np.float64)


def _whole(vectors: Floats | Vectors, seconds: Floats) -> Floats:
    """The mean (K, E) of the two parts, weighted by seconds of speech."""
    weights = seconds / seconds.sum(axis=1, keepdims=True)
    return np.asarray((vectors * weights[:, :, None]).sum(axis=1))


def _two_speakers(
    model: TwoCovariance,
    before: MeanVector,
    after: MeanVector,
    of_label: MeanVector,
    anybody: Floats,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Log ratios (K,) of two speakers, one of them the label's, over one; and whether the second
    speaker's part is more probably the last one.

    `of_label` are the label's other recordings, with a count near 0 if there are none. `anybody`
    (3, K) are log-likelihood ratios of the first part, the last part and both: any speaker but the
    label's over an unknown one.
    """
    one_voice = -model.log_ratio(before, after)
    ratios = []
    for own, another, by_another in ((before, after, anybody[1]), (after, before, anybody[0])):
        by_label = -model.log_ratio(own, of_label)
        all_by_label = by_label - model.log_ratio(another, own.with_(of_label))
        mislabeled = one_voice + anybody[2]
        one = np.logaddexp(np.log(1 - MISLABELED) + all_by_label, np.log(MISLABELED) + mislabeled)
        ratios.append(by_label + by_another - one)
    return np.logaddexp(*ratios) - np.log(2), ratios[0] >= ratios[1]
