"""How much of the trained weights to keep: the best for new voices that is not worse for old ones.

Weights between an encoder and its fine-tuned self often serve both kinds of voices better than
either end (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). Whether a share is
worse than the start is told by a bootstrap over speakers in which both score the same trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.comparison import Difference
from timbral.scoring.intervals import SpeakerBootstrap, eer_of, interval_of
from timbral.scoring.metrics import eer
from timbral.scoring.ranked_trials import RankedTrials

__all__ = [
    "FRACTIONS",
    "FractionChoice",
    "FractionFigures",
    "VoiceTrials",
    "choose_fraction",
    "fraction_figures",
]

FRACTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""of the trained weights; the rest is of those that training began with"""


@dataclass(frozen=True)
class VoiceTrials:
    """Trials among the speakers of one kind of voices."""

    name: str
    """new voices, old voices, …"""
    labels: Ints
    """1 for target trials (N,)"""
    first: Ints
    """speaker of a trial's first side, from 0 (N,)"""
    second: Ints

    @property
    def num_speakers(self) -> int:
        return len(np.union1d(self.first, self.second))


@dataclass(frozen=True)
class FractionFigures:
    """EERs of the start and of a share of the trained weights, and how sure their difference is."""

    fraction: float
    voices: tuple[Difference, ...]
    """the start first, the share second; new voices, then every kind of old ones"""

    @property
    def is_worse(self) -> bool:
        """Whether some voices have a clearly higher EER than with the start."""
        return any(difference.interval.low > 0 for difference in self.voices)


@dataclass(frozen=True)
class FractionChoice:
    """The share that was chosen, and what it was chosen among."""

    chosen: FractionFigures
    all: tuple[FractionFigures, ...]
    speakers: tuple[int, ...]
    """of each kind of voices"""
    start: str = ""
    """the encoder that training began with"""

    @property
    def line(self) -> str:
        """The choice in one line: EERs in %, and 95 % intervals of their changes in points."""
        words = [
            f"{change.name} {100 * change.first:.2f} -> {100 * change.second:.2f} % "
            f"[{100 * change.interval.low:+.2f} to {100 * change.interval.high:+.2f}]"
            for change in self.chosen.voices
        ]
        return f"{', '.join(words)}, share {self.chosen.fraction:g}"

    @property
    def reason(self) -> str:
        """Why this share, in one sentence."""
        end = self.all[-1]
        if end.fraction == self.chosen.fraction:
            return "the trained weights are not worse than the start for any voices"
        worse = [change.name for change in end.voices if change.interval.low > 0]
        whom = f"worse than the start for {' and '.join(worse)}" if worse else "not the best"
        if not self.chosen.fraction:
            return (
                f"the start itself, because the trained weights are {whom}, and no average is "
                "better"
            )
        return f"the trained weights alone are {whom}"

    def as_dict(self) -> dict[str, Any]:
        """The choice as JSON values."""
        return {"start": self.start, "reason": self.reason, **self._row(self.chosen)}

    def table(self) -> list[dict[str, Any]]:
        """What it was chosen among, as JSON values."""
        return [{**self._row(one), "is_worse": one.is_worse} for one in self.all]

    def _row(self, figures: FractionFigures) -> dict[str, Any]:
        voices = [
            {
                "name": change.name,
                "speakers": count,
                "eer_of_start": change.first,
                "eer": change.second,
                "low": change.interval.low,
                "high": change.interval.high,
            }
            for change, count in zip(figures.voices, self.speakers, strict=True)
        ]
        return {"share": figures.fraction, "voices": voices}


def choose_fraction(figures: Sequence[FractionFigures]) -> FractionFigures:
    """The lowest EER on new voices among the shares that are not worse than the start for anybody.

    `figures` are of rising shares, the start (share 0) first; it is never worse than itself, so
    there is always one. Of equally good shares the one that is better for the old voices is taken,
    then the smallest.
    """
    allowed = [one for one in figures if not one.is_worse]
    return min(
        allowed,
        key=lambda one: (
            one.voices[0].second,
            max((change.second - change.first for change in one.voices[1:]), default=0.0),
            one.fraction,
        ),
    )


def fraction_figures(
    voices: Sequence[VoiceTrials],
    scores: Mapping[float, Sequence[Vectors]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> list[FractionFigures]:
    """EERs of every share, compared with the start's on the same trials and drawn speakers.

    `scores` holds, by share, for each of `voices` the scores of its trials (N,); share 0 is the
    start. Raises DataError for fewer speakers than an interval needs.
    """
    rates: dict[float, list[Difference]] = {fraction: [] for fraction in sorted(scores)}
    for number, trials in enumerate(voices):
        start = scores[0.0][number]
        before = eer(start, trials.labels)[0]
        drawn_before = _drawn(trials, start, draws, seed)
        for fraction, differences in rates.items():
            own = scores[fraction][number]
            change = _drawn(trials, own, draws, seed) - drawn_before
            now = eer(own, trials.labels)[0]
            differences.append(Difference(trials.name, before, now, interval_of(change)))
    return [
        FractionFigures(fraction, tuple(differences)) for fraction, differences in rates.items()
    ]


def _drawn(trials: VoiceTrials, scores: Vectors, draws: int, seed: int) -> Floats:
    """EER in each draw of speakers (draws,); the same speakers for all scores."""
    sides = trials.first, trials.second
    ranked = RankedTrials.of(scores, trials.labels)
    bootstrap = SpeakerBootstrap(ranked, *sides, draws=draws, seed=seed)
    return bootstrap.values(eer_of)
