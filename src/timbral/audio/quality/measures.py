"""Measures of a recording."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Quality"]


@dataclass(frozen=True)
class Quality:
    """Measures of one recording, at its own rate and with its own channels.

    Levels are in dB relative to full scale (a constant 1.0 has 0 dBFS).
    """

    seconds: float
    speech_seconds: float
    """net speech: the seconds of the frames that are taken for speech"""
    speech_dbfs: float
    """RMS level of the speech frames; of all frames where none is speech"""
    snr_db: float | None
    """level of the speech frames, less the pauses' power, over that of the pauses; None where
    there are none"""
    bandwidth_hz: float
    """up to where the louder frames have energy well above what a codec leaves"""
    clipped_fraction: float
    """of the samples that lie on a flat top: three or more in a row at the peak"""
    num_channels: int
    channel_correlation: float | None
    """how alike the channels' levels run: the lowest correlation of their levels in frames of
    32 ms; about 1 for one scene, about 0 or less for two parties of a call; None for mono"""
    speech_probability: float
    """that there is speech in it at all, rather than noise, tones, music or silence only"""
    music_fraction: float
    """of its windows of 1.5 s, those that are music or tones and not speech"""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
