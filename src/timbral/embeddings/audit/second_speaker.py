"""Recordings in which a second speaker talks: what lies before and behind a moment disagrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from timbral.embeddings.audit.two_covariance import MeanVector, TwoCovariance
from timbral.embeddings.vectors import unit_length
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["SecondSpeaker", "WindowedRecording", "find_second_speakers"]

LEAST_WINDOWS = 2
LEAST_RECORDINGS = 8
"""with windows, of two speakers or more; fewer tell nothing about what is usual"""
LEAST_FRACTION, LARGEST_FRACTION = 0.2, 0.5
"""of a recording that the second speaker has where one is imitated"""
INDEPENDENT = 0.5
"""of a window: they overlap by half"""
MOST_OTHERS = 3
"""of a speaker's other recordings, however many there are: all may be of another day than this"""
IMITATIONS = 1000
DRAWS_EACH = 20
"""that are tried for an imitation before it is given up"""
PRIOR = 0.01
"""It is not estimated from the corpus: one speaker's scores have a long tail, which would be
taken for many recordings of two."""
FOLDS = 5
TRUSTED = 0.9
"""of the recordings, those with the lowest scores: of one speaker, whatever else is found"""


@dataclass(frozen=True)
class WindowedRecording:
    """Windows of one recording that are mostly speech, in their order."""

    vectors: Vectors
    """(W, E), unit length"""
    starts: Floats
    """seconds (W,)"""
    window_seconds: float


@dataclass(frozen=True)
class SecondSpeaker:
    """A recording's number, the cosine of its two parts, where the second begins, the probability
    that they are of two speakers."""

    recording: int
    cosine: float
    seconds: float
    probability: float


@dataclass(frozen=True)
class _Split:
    """Two parts of W windows, the first of `first` ones, and their cosine."""

    cosine: float
    score: float
    first: int
    windows: int

    @property
    def scores(self) -> tuple[float, float]:
        """More windows have more splits, of which the best score is taken, and say more."""
        return self.score, float(np.log(self.windows))


def find_second_speakers(
    recordings: Sequence[WindowedRecording], codes: Ints
) -> Iterator[SecondSpeaker]:
    """Recordings of which one part is another speaker's, the most probable first.

    `codes` (N,) are the labels of the recordings' speakers. The score is the highest log ratio,
    over all moments, of two speakers before and behind it, one of whom is the label's, over one
    speaker, who may be the label's or not (`two_covariance`). Two speakers are imitated by windows
    of one recording that take the place of another one's, by speakers with different labels, from
    a moment on or up to it; what one speaker is, the recordings say themselves, without those
    that are probably of two.

    `recordings` are read four times, in their order, and then a few at random, so they need not
    be in memory.
    """
    rows = [row for row, each in enumerate(recordings) if len(each.vectors) >= LEAST_WINDOWS]
    if len(rows) < LEAST_RECORDINGS or len(set(codes[rows].tolist())) < 2:
        return
    corpus = _Corpus.of(recordings, codes, rows)
    splits = [corpus.best_split(row, corpus.windows(row)) for row in rows]
    imitated = [corpus.best_split(row, each).scores for row, each in _imitations(corpus)]
    if not imitated:
        return
    probability = _probabilities(np.array([each.scores for each in splits]), np.array(imitated))
    for index in np.argsort(-probability, kind="stable"):
        split, row = splits[index], rows[index]
        yield SecondSpeaker(
            row,
            split.cosine,
            float(recordings[row].starts[split.first]),
            float(probability[index]),
        )


@dataclass(frozen=True)
class _Corpus:
    """What is known of all recordings that have windows enough."""

    recordings: Sequence[WindowedRecording]
    rows: list[int]
    codes: Ints
    """(N,)"""
    common: Vectors
    """the mean (E,) of the recordings' means, which tells nothing about anybody"""
    models: list[TwoCovariance]
    """one for each fold of the recordings, fitted on the other folds: in a model that has seen it,
    what sets a recording's two speakers apart is what differs between windows"""
    sums: Floats
    """of the means of each speaker's recordings (S, E)"""
    counts: Ints
    """of these recordings (S,)"""

    @classmethod
    def of(cls, recordings: Sequence[WindowedRecording], codes: Ints, rows: list[int]) -> _Corpus:
        common = sum(recordings[row].vectors.mean(axis=0) for row in rows) / len(rows)
        size = len(common)
        sums = np.zeros((int(codes.max()) + 1, size))
        scatter, power, count = np.zeros((FOLDS, size, size)), np.zeros(FOLDS), np.zeros(FOLDS)
        for row in rows:
            vectors = unit_length(recordings[row].vectors - common).astype(np.float64)
            mean = vectors.mean(axis=0)
            around = vectors - mean
            scatter[row % FOLDS] += (around.T @ around) * (len(vectors) / (len(vectors) - 1))
            power[row % FOLDS] += float(np.square(vectors).sum())
            count[row % FOLDS] += len(vectors)
            sums[codes[row]] += mean
        models = [
            TwoCovariance.fit(
                (scatter.sum(axis=0) - scatter[fold]) / (count.sum() - count[fold]),
                float((power.sum() - power[fold]) / (count.sum() - count[fold])),
            )
            for fold in range(FOLDS)
        ]
        counts = np.bincount(codes[rows], minlength=len(sums))
        return cls(recordings, rows, codes, common, models, sums, counts)

    def _model(self, row: int) -> TwoCovariance:
        return self.models[row % FOLDS]

    def windows(self, row: int) -> Vectors:
        """Unit vectors (W, E) of a recording's windows, without what all have in common."""
        return unit_length(self.recordings[row].vectors - self.common)

    def best_split(self, row: int, vectors: Vectors) -> _Split:
        """The two parts of windows (W, E) that are most probably two speakers'; each has a fifth
        of them or more. They take the place of the recording `row`.
        """
        model = self._model(row)
        placed = vectors @ model.axes
        count = len(vectors)
        least = max(1, int(np.ceil(LEAST_FRACTION * count)))
        firsts = np.arange(least, count - least + 1)
        sums = np.cumsum(placed, axis=0)
        head, tail = firsts.astype(np.float64), (count - firsts).astype(np.float64)
        before = MeanVector(sums[firsts - 1] / head[:, None], np.asarray(INDEPENDENT * head))
        behind = MeanVector(
            (sums[-1] - sums[firsts - 1]) / tail[:, None], np.asarray(INDEPENDENT * tail)
        )
        scores = _two_speakers(model, before, behind, self._others(row))
        best = int(scores.argmax())
        first = int(firsts[best])
        parts = unit_length(np.stack([vectors[:first].sum(axis=0), vectors[first:].sum(axis=0)]))
        return _Split(float(parts[0] @ parts[1]), float(scores[best]), first, count)

    def _others(self, row: int) -> MeanVector | None:
        """The speaker's other recordings; None where there are none."""
        code = self.codes[row]
        count = int(self.counts[code]) - 1
        if count < 1:
            return None
        mean = (self.sums[code] - self.windows(row).mean(axis=0)) / count
        return MeanVector(mean @ self._model(row).axes, np.array(float(min(count, MOST_OTHERS))))


def _two_speakers(
    model: TwoCovariance, before: MeanVector, behind: MeanVector, others: MeanVector | None
) -> Floats:
    """Log ratios (T,): one part is the label's, the other one another's, over one speaker."""
    apart = model.log_ratio(before, behind)
    if others is None:
        return apart
    ratios = []
    for own, another in ((before, behind), (behind, before)):
        over_label = model.log_ratio(another, own.with_(others))
        over_mislabeled = apart - model.log_ratio(own, others)
        ratios.append(np.minimum(over_label, over_mislabeled))
    return np.maximum(*ratios)


def _probabilities(scores: Floats, imitated: Floats) -> Floats:
    """Probability (N,) that each row of `scores` (N, 2) is of two speakers.

    Of the imitated ones the first column is normal around a line over the second. Of one speaker
    it is logistic: a sigh, a laugh or a noise makes more scores high than a normal distribution
    has. Its center and scale are medians, which the few recordings of two speakers hardly move.
    """
    center, deviation = _around_line(imitated)
    usual, _ = _around_line(scores[scores[:, 0] <= np.quantile(scores[:, 0], TRUSTED)])
    residuals = scores[:, 0] - usual(scores[:, 1])
    residuals -= np.median(residuals)
    scale = float(np.median(np.abs(residuals))) / np.log(3) + 1e-3
    distance = np.minimum(scores[:, 0] - center(scores[:, 1]), 0.0) / deviation
    of_two = -np.log(deviation * np.sqrt(2 * np.pi)) - 0.5 * distance**2
    of_one = -np.log(scale) - residuals / scale - 2 * np.logaddexp(0, -residuals / scale)
    odds = np.clip(of_two - of_one + np.log(PRIOR / (1 - PRIOR)), -60, 60)
    probability = 1 / (1 + np.exp(-odds))
    return np.asarray(np.where(residuals > 0, probability, 0.0))


def _around_line(scores: Floats) -> tuple[Callable[[Floats], Floats], float]:
    """The line of the first column of `scores` (N, 2) over the second, and the deviation."""
    design = np.column_stack([np.ones(len(scores)), scores[:, 1]])
    line = np.linalg.lstsq(design, scores[:, 0], rcond=None)[0]
    deviation = float((scores[:, 0] - design @ line).std()) + 1e-3
    return lambda column: np.asarray(line[0] + line[1] * column), deviation


def _imitations(corpus: _Corpus) -> Iterator[tuple[int, Vectors]]:
    """Windows (W, E) of recordings in which a second speaker talks, made of two recordings, and
    the row of the first.
    """
    rng = np.random.default_rng(0)
    rows, codes = corpus.rows, corpus.codes
    for _ in range(IMITATIONS):
        for _ in range(DRAWS_EACH):
            one, other = (rows[index] for index in rng.integers(len(rows), size=2))
            fraction = rng.uniform(LEAST_FRACTION, LARGEST_FRACTION)
            at_the_end = bool(rng.random() < 0.5)
            if codes[one] == codes[other]:
                continue
            recording = corpus.recordings[one]
            own = WindowedRecording(corpus.windows(one), recording.starts, recording.window_seconds)
            mixed = _replaced(own, corpus.windows(other), fraction, at_the_end)
            if mixed is not None:
                yield one, mixed
                break


def _replaced(
    recording: WindowedRecording, other: Vectors, fraction: float, at_the_end: bool
) -> Vectors | None:
    """Windows (W, E) of which a `fraction` of the time is the other's; None when it has too few.

    A window across the moment of change holds both, as much of each as there is time.

        one      [────][────][────][────][────]
        other                      [────][────]
        change                       ↑           the fourth window is of both
    """
    size, starts = recording.window_seconds, recording.starts
    length = starts[-1] + size
    if at_the_end:
        of_other = np.clip((starts + size - length * (1 - fraction)) / size, 0, 1)
    else:
        of_other = np.clip((length * fraction - starts) / size, 0, 1)
    inside = np.flatnonzero(of_other > 0)
    if not len(inside) or len(inside) > len(other):
        return None
    taken = other[: len(inside)] if at_the_end else other[-len(inside) :]
    weight = of_other[inside, None]
    mixed = recording.vectors.copy()
    mixed[inside] = unit_length((1 - weight) * mixed[inside] + weight * taken)
    return mixed
