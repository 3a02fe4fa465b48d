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
    """net speech: seconds of the frames that are speech"""
    speech_dbfs: float
    """RMS level of the speech frames; of all frames if none is speech"""
    snr_db: float | None
    """level of the speech frames (minus the pauses' power) over that of the pauses; None without
    pauses"""
    bandwidth_hz: float
    """highest frequency at which the louder frames have energy well above the residue of a codec"""
    clipped_fraction: float
    """fraction of samples on a flat top: three or more in a row at the peak"""
    num_channels: int
    channel_correlation: float | None
    """the lowest correlation of two channels' levels in frames of 32 ms: about 1 for one scene,
    about 0 or less for two parties of a call; None for mono"""
    speech_probability: float
    """probability that it contains any speech, not only noise, tones, music or silence"""
    music_fraction: float
    """fraction of its windows of 1.5 s that are music or tones and not speech"""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
