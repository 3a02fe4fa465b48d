"""Similarity in one encoder alone, as of a system that was trained on what measures it."""

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
"""of the way from the nearest other speaker to the same one"""
EXCESS_OF_FEW = 0.5
"""of few speakers, whose chance differences no interval tells"""
HALFWAY = 0.5
"""above it is nearer to the same speaker, below it to the other one"""
LOST = 0.2
"""of what sets a speaker's real recordings apart from all others: below, a clone has nothing of the
speaker. In noise, rooms and telephones an encoder may find it far from its references and still
tell whose it is: 0.33 and more is left to the LSTM then, 0.1 to an encoder that sees an attack on
another one (docs/cloning.md)"""


@dataclass(frozen=True)
class GamingFlag:
    """A system that one encoder puts much nearer to its references than all others do."""

    system: str
    encoder: str
    excess: float
    """how much higher its position is than in the encoder that comes next"""
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
    """Systems that one encoder puts nearer to the same speaker, clearly so, and in which all others
    find nothing of that speaker.

    It takes two encoders, and both anchors. The lower end of the interval over speakers has to
    exceed `CLEAR_EXCESS`; without an interval the figure itself has to exceed `EXCESS_OF_FEW`.
    That others find it farther is not enough: that may be its noise or its room. So they must not
    tell whose voice it is either, which a channel leaves them (`LOST`).
    """
    if len(views) < 2:
        return []
    flags = []
    for system in systems:
        whole = np.array([position_of(view, system) for view in views])
        if np.isnan(whole).any() or not all(
            anchors_are_apart(view, system, draws) for view in views
        ):
            continue  # of an encoder that sees nothing of it, nothing is known
        positions = np.array([position_draws(view, system, draws) for view in views])
        left = np.array([_left_of_speakers(view, system) for view in views])
        for row, view in enumerate(views):
            if not (whole[row] > HALFWAY and np.delete(left, row).max() < LOST):
                continue
            others = np.delete(positions, row, axis=0).max(axis=0)
            present = len({clone.speaker for clone in view.clones if clone.system == system})
            interval = draws.interval(positions[row] - others, present)
            excess = float(whole[row] - np.delete(whole, row).max())
            if excess > EXCESS_OF_FEW if interval is None else interval.low > CLEAR_EXCESS:
                flags.append(GamingFlag(system, view.encoder, excess, interval))
    return flags


def _left_of_speakers(view: EncoderView, system: str) -> float:
    """How much of what sets the speakers apart is left in their clones: 1 is that of real
    recordings; infinite where it is not known.
    """
    rows = [clone.system == system for clone in view.clones]
    margins, real = view.margins[rows], view.real_margins[rows]
    known = ~np.isnan(margins) & ~np.isnan(real)
    if not known.any() or not real[known].mean() > 0:
        return inf
    return float(margins[known].mean() / real[known].mean())
