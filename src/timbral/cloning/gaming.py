"""Similarity in one encoder alone, as of a system that was trained on what measures it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from timbral.cloning.clone_figures import SpeakerDraws, position_draws, position_of
from timbral.cloning.encoder_view import EncoderView
from timbral.scoring.intervals import Interval

__all__ = ["GamingFlag", "gaming_flags"]

CLEAR_EXCESS = 0.35
"""of the way from the nearest other speaker to the same one; natural changes of a voice (pitch,
formants, copy synthesis, mixtures) move CAM++ and the LSTM apart by less (docs/cloning.md)"""


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
            "any other encoder (0 is the nearest other speaker, 1 the same one); if the system was "
            f"trained or conditioned on {self.encoder}, that figure says nothing of the voice"
        )


def gaming_flags(
    views: Sequence[EncoderView], systems: Sequence[str], draws: SpeakerDraws
) -> list[GamingFlag]:
    """Systems whose position is higher in one encoder than in every other, clearly so.

    It takes two encoders, and both anchors. The lower end of the interval over speakers has to
    exceed `CLEAR_EXCESS`, without an interval the figure itself.
    """
    if len(views) < 2:
        return []
    flags = []
    for system in systems:
        positions = np.array([position_draws(view, system, draws) for view in views])
        whole = np.array([position_of(view, system) for view in views])
        for row, view in enumerate(views):
            others = np.delete(positions, row, axis=0).max(axis=0)
            excess = float(whole[row] - np.delete(whole, row).max())  # NaN where one is not known
            present = len({clone.speaker for clone in view.clones if clone.system == system})
            interval = draws.interval(positions[row] - others, present)
            if (excess if interval is None else interval.low) > CLEAR_EXCESS:
                flags.append(GamingFlag(system, view.encoder, excess, interval))
    return flags
