"""Choose the share of trained weights that is best for new voices and costs old ones little.

Weights between an encoder and its fine-tuned version often serve both kinds of voices better than
either end (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). How much worse than
the start a share can be is decided by a bootstrap over speakers, with the same trials for both.
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
    "TRAINED_SHARES",
    "ShareChoice",
    "ShareFigures",
    "VoiceTrials",
    "choose_share",
    "share_figures",
]

TRAINED_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""shares of the trained weights that are compared; the rest is of the initial weights"""
MARGIN, LEAST_MARGIN = 0.05, 0.005
"""the EER of old voices may rise by a twentieth of it, or by half a point where that is more"""


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
class ShareFigures:
    """EERs of the start and of a share of trained weights, with intervals of the difference."""

    trained_share: float
    voices: tuple[Difference, ...]
    """the start first, the share second; for new voices, then for every kind of old ones"""

    @property
    def harms(self) -> list[str]:
        """The reasons against this share, in words; empty if it is allowed.

        No voices may be clearly worse than with the start, and the EER of old voices must clearly
        rise by no more than the margin. So the start is kept if few speakers could hide a loss.
        """
        found = []
        for number, change in enumerate(self.voices):
            most, allowed = change.interval.high, margin(change.first)
            if change.interval.low > 0:
                found.append(f"is worse for {change.name}")
            elif number and most > allowed:
                found.append(
                    f"may be worse for {change.name} by up to {100 * most:.2f} points of EER "
                    f"({100 * allowed:.2f} are allowed)"
                )
        return found


@dataclass(frozen=True)
class ShareChoice:
    """The chosen share, and the figures of all."""

    chosen: ShareFigures
    all: tuple[ShareFigures, ...]
    speakers: tuple[int, ...]
    """number of speakers of each kind of voices"""
    start: str = ""
    """name of the initial encoder"""

    @property
    def line(self) -> str:
        """The choice in one line: EERs in %, and 95 % intervals of their changes in points."""
        words = [
            f"{change.name} {100 * change.first:.2f} -> {100 * change.second:.2f} % "
            f"[{100 * change.interval.low:+.2f} to {100 * change.interval.high:+.2f}]"
            for change in self.chosen.voices
        ]
        return f"{', '.join(words)}, share {self.chosen.trained_share:g}"

    @property
    def reason(self) -> str:
        """The reason for this share, in one sentence."""
        larger = [one for one in self.all if one.trained_share > self.chosen.trained_share]
        if not larger:
            return "the trained weights harm no voices"
        why = " and ".join(larger[0].harms) or "is not better for new voices"
        return f"a share of {larger[0].trained_share:g} {why}"

    def as_dict(self) -> dict[str, Any]:
        """The choice as JSON values."""
        return {"start": self.start, "reason": self.reason, **self._row(self.chosen)}

    def table(self) -> list[dict[str, Any]]:
        """The figures of all shares, as JSON values."""
        return [{**self._row(one), "harms": one.harms} for one in self.all]

    def _row(self, figures: ShareFigures) -> dict[str, Any]:
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
        return {"share": figures.trained_share, "voices": voices}


def margin(eer_of_start: float) -> float:
    """The largest allowed rise of the EER of old voices."""
    return max(MARGIN * eer_of_start, LEAST_MARGIN)


def choose_share(figures: Sequence[ShareFigures]) -> ShareFigures:
    """The share with the lowest EER on new voices of those that harm no voices.

    `figures` are of rising shares, the start (0) first; it is never worse than itself, so there
    is always a choice. Among equally good shares the one that is better for old voices is
    chosen, then the smallest.
    """
    allowed = [one for one in figures if not one.harms]
    return min(
        allowed,
        key=lambda one: (
            one.voices[0].second,
            max((change.second - change.first for change in one.voices[1:]), default=0.0),
            one.trained_share,
        ),
    )


def share_figures(
    voices: Sequence[VoiceTrials],
    scores: Mapping[float, Sequence[Vectors]],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> list[ShareFigures]:
    """EERs of every share, compared with the start's on the same trials and draws of speakers.

    `scores` are, by share and for each of `voices`, the scores of its trials (N,); share 0 is
    the start. Raises DataError for too few speakers for an interval.
    """
    rates: dict[float, list[Difference]] = {trained_share: [] for trained_share in sorted(scores)}
    for number, trials in enumerate(voices):
        start = scores[0.0][number]
        before = eer(start, trials.labels)[0]
        drawn_before = _drawn(trials, start, draws, seed)
        for trained_share, differences in rates.items():
            own = scores[trained_share][number]
            change = _drawn(trials, own, draws, seed) - drawn_before
            now = eer(own, trials.labels)[0]
            differences.append(Difference(trials.name, before, now, interval_of(change)))
    return [
        ShareFigures(trained_share, tuple(differences))
        for trained_share, differences in rates.items()
    ]


def _drawn(trials: VoiceTrials, scores: Vectors, draws: int, seed: int) -> Floats:
    """EER in each draw of speakers (draws,); the same speakers for all scores."""
    sides = trials.first, trials.second
    ranked = RankedTrials.of(scores, trials.labels)
    bootstrap = SpeakerBootstrap(ranked, *sides, draws=draws, seed=seed)
    return bootstrap.values(eer_of)
