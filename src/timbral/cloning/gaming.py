"""Flag systems that are similar in one encoder only, such as one trained against that encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from timbral.cloning.clone_figures import (
    SpeakerDraws,
    anchors_are_apart,
    position_draws,
    position_of,
)
from timbral.cloning.encoder_view import EncoderView
from timbral.scoring.intervals import Interval

__all__ = ["GamingFlag", "gaming_flags"]

CLEAR_EXCESS = 0.35
"""least excess, as a fraction of the way from the nearest other speaker to the same one"""
EXCESS_OF_FEW = 0.5
"""least excess if there are too few speakers for an interval"""
HALFWAY = 0.5
"""above this position, a system is closer to the same speaker than to the nearest other one"""
LOST = 0.2
"""if less than this fraction remains of what distinguishes a speaker's real recordings from all
others, a clone has nothing of the speaker. In noise, rooms and telephones, an encoder may place
clones far from their references and still recognize the speaker: the LSTM then keeps 0.33 or more,
but an encoder that sees an attack on another one only 0.1 (docs/cloning.md)"""


@dataclass(frozen=True)
class GamingFlag:
    """A system that one encoder places much closer to its references than all others do."""

    system: str
    encoder: str
    excess: float
    """how much its position exceeds that by the next encoder"""
    interval: Interval | None

    def __str__(self) -> str:
        return (
            f"{self.system}: its position is {self.excess:.2f} higher by {self.encoder} than by "
            "any other encoder (0 is the nearest other speaker, 1 the same one), and no other "
            f"encoder recognizes its speakers. If the system was trained with {self.encoder} or "
            "takes its vectors, that figure says nothing about the voice"
        )


def gaming_flags(
    views: Sequence[EncoderView], systems: Sequence[str], draws: SpeakerDraws
) -> list[GamingFlag]:
    """Systems that are clearly close to the speaker by one encoder, but unlike by all others.

    This needs two encoders and both anchors. The lower end of the interval over speakers must
    exceed `CLEAR_EXCESS`; without an interval, the figure itself must exceed `EXCESS_OF_FEW`. It is
    not enough that the others place the system farther away, because that may be its noise or its
    room. They must also fail to recognize the speaker, which a channel does not cause (`LOST`).
    """
    if len(views) < 2:
        return []
    flags = []
    for system in systems:
        positions = np.array([position_of(view, system) for view in views])
        if np.isnan(positions).any() or not all(
            anchors_are_apart(view, system, draws) for view in views
        ):
            continue  # one encoder cannot place the system
        drawn = np.array([position_draws(view, system, draws) for view in views])
        left = np.array([_left_of_speakers(view, system) for view in views])
        for row, view in enumerate(views):
            if not (positions[row] > HALFWAY and np.delete(left, row).max() < LOST):
                continue
            others = np.delete(drawn, row, axis=0).max(axis=0)
            present = len({clone.speaker for clone in view.clones if clone.system == system})
            interval = draws.interval(drawn[row] - others, present)
            excess = float(positions[row] - np.delete(positions, row).max())
            if excess > EXCESS_OF_FEW if interval is None else interval.low > CLEAR_EXCESS:
                flags.append(GamingFlag(system, view.encoder, excess, interval))
    return flags


def _left_of_speakers(view: EncoderView, system: str) -> float:
    """How much of what distinguishes the speakers is left in their clones: 1 is as much as in real
    recordings; infinite if unknown.
    """
    rows = [clone.system == system for clone in view.clones]
    margins, real = view.margins[rows], view.real_margins[rows]
    known = ~np.isnan(margins) & ~np.isnan(real)
    if not known.any() or not real[known].mean() > 0:
        return inf
    return float(margins[known].mean() / real[known].mean())
