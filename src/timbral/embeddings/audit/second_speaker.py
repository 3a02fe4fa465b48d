"""Recordings in which a second speaker talks: what lies before and behind a moment disagrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from timbral.embeddings.vectors import speaker_sums, unit_length
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["SecondSpeaker", "WindowedRecording", "find_second_speakers"]

LEAST_WINDOWS = 2
LEAST_RECORDINGS = 8
"""with windows, of two speakers or more; fewer tell nothing about what is usual"""
LEAST_FRACTION, LARGEST_FRACTION = 0.2, 0.5
"""of a recording that the second speaker has where one is imitated"""
IMITATIONS = 1000
DRAWS_EACH = 20
"""that are tried for an imitation before it is given up"""
PRIOR = 0.01
"""It is not estimated from the corpus: one speaker's cosines have a long tail, which would be
taken for many recordings of two."""
ROUNDS = 3


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
        """More windows have more splits, of which the lowest cosine is taken."""
        return self.score, float(np.log(self.windows))


def find_second_speakers(
    recordings: Sequence[WindowedRecording], codes: Ints
) -> Iterator[SecondSpeaker]:
    """Recordings of which one part is another speaker's, the most probable first.

    `codes` (N,) are the labels of the recordings' speakers. The score is the lowest cosine between
    what lies before a moment and what lies behind it. Two speakers are imitated by windows of one
    recording that take the place of another one's, by speakers with different labels, from a
    moment on or up to it; what one speaker is, the recordings say themselves, without those that
    are probably of two.
    """
    rows = [row for row, each in enumerate(recordings) if len(each.vectors) >= LEAST_WINDOWS]
    if len(rows) < LEAST_RECORDINGS or len(set(codes[rows].tolist())) < 2:
        return
    common = np.concatenate([recordings[row].vectors for row in rows]).mean(axis=0)
    parts = [unit_length(recordings[row].vectors - common) for row in rows]
    own = _own_directions(parts, codes[rows])
    splits = [_best_split(each, voice) for each, voice in zip(parts, own, strict=True)]
    windows = [
        WindowedRecording(each, recordings[row].starts, recordings[row].window_seconds)
        for row, each in zip(rows, parts, strict=True)
    ]
    imitated = [
        _best_split(each, own[row]).scores for row, each in _imitations(windows, codes[rows])
    ]
    if not imitated:
        return
    probability = _probabilities(np.array([each.scores for each in splits]), np.array(imitated))
    for index in np.argsort(-probability, kind="stable"):
        split, recording = splits[index], recordings[rows[index]]
        yield SecondSpeaker(
            rows[index],
            split.cosine,
            float(recording.starts[split.first]),
            float(probability[index]),
        )


def _own_directions(recordings: Sequence[Vectors], codes: Ints) -> Vectors:
    """The unit mean (N, E) of the windows of each speaker's other recordings; zero without any."""
    sums = np.stack([each.sum(axis=0) for each in recordings])
    others = speaker_sums(sums, codes, int(codes.max()) + 1)[codes] - sums
    alone = np.bincount(codes)[codes] < 2
    return unit_length(np.where(alone[:, None], 0.0, others))


def _best_split(vectors: Vectors, own: Vectors) -> _Split:
    """The two parts of windows (W, E) that are least alike; each has a fifth of them or more.

    Where the speaker is known from other recordings, `own` (E,), the part that is less like these
    counts as much as how alike the parts are.
    """
    count = len(vectors)
    least = max(1, int(np.ceil(LEAST_FRACTION * count)))
    sums = np.cumsum(vectors, axis=0)
    firsts = sums[least - 1 : count - least]
    seconds = sums[-1] - firsts
    cosines = (unit_length(firsts) * unit_length(seconds)).sum(axis=1)
    lowest = int(cosines.argmin())
    cosine = float(cosines[lowest])
    to_own = [float(unit_length(each[lowest]) @ own) for each in (firsts, seconds)]
    score = (cosine + min(to_own)) / 2 if own.any() else cosine
    return _Split(cosine, score, least + lowest, count)


def _probabilities(scores: Floats, imitated: Floats) -> Floats:
    """Probability (N,) that each row of `scores` (N, D) is of two speakers."""
    trusted = np.ones(len(scores), dtype=bool)
    for _ in range(ROUNDS):
        ratios = _log_densities(scores, imitated) - _log_densities(scores, scores[trusted])
        odds = np.clip(ratios + np.log(PRIOR / (1 - PRIOR)), -60, 60)
        probability = 1 / (1 + np.exp(-odds))
        above = scores[:, 0] > np.median(scores[:, 0])  # of one speaker, however near they are
        probability[above] = 0.0
        trusted = probability < 0.5
        if trusted.sum() < 2:
            return np.zeros(len(scores))  # nothing tells one speaker from two
    return np.asarray(probability)


def _log_densities(scores: Floats, examples: Floats) -> Floats:
    """Log densities (N,) of cosines, the first column of `scores` (N, 2), given the second.

    They are normal around a line through `examples` (M, 2). A logistic regression, which the other
    kinds of findings have, is drawn to the few recordings where both are alike; it found fewer.
    """
    design = np.column_stack([np.ones(len(examples)), examples[:, 1]])
    line = np.linalg.lstsq(design, examples[:, 0], rcond=None)[0]
    deviation = float((examples[:, 0] - design @ line).std()) + 1e-3
    distance = (scores[:, 0] - line[0] - line[1] * scores[:, 1]) / deviation
    return np.asarray(-np.log(deviation) - 0.5 * distance**2)


def _imitations(
    recordings: Sequence[WindowedRecording], codes: Ints
) -> Iterator[tuple[int, Vectors]]:
    """Windows (W, E) of recordings in which a second speaker talks, made of two recordings, and
    the number of the first.
    """
    rng = np.random.default_rng(0)
    for _ in range(IMITATIONS):
        for _ in range(DRAWS_EACH):
            one, other = rng.integers(len(recordings), size=2)
            fraction = rng.uniform(LEAST_FRACTION, LARGEST_FRACTION)
            at_the_end = bool(rng.random() < 0.5)
            if codes[one] == codes[other]:
                continue
            mixed = _replaced(recordings[one], recordings[other].vectors, fraction, at_the_end)
            if mixed is not None:
                yield int(one), mixed
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
