"""Settings of mel spectrograms, with one preset per family of models.

Separate from the networks that compute them, so that data can be prepared and listed without torch,
which takes seconds to import.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DECIBEL_MEL_80", "GE2E_MEL", "LOG_MEL_80", "MelConfig"]


@dataclass(frozen=True)
class MelConfig:
    """A mel spectrogram of centered windows."""

    sample_rate: int = 16_000
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    n_mels: int = 40
    window: str = "hann"
    """hann | hamming, periodic"""
    filters: str = "slaney"
    """slaney | symmetric"""
    scale: str = "power"
    """power | log: natural logarithm of power + 1e-6 | decibel: 10 log10, floored 80 dB below
    the utterance's largest value"""
    mean_normalize: bool = False
    """subtract each utterance's mean over its own frames"""
    edges: str = "zeros"
    """zeros | mirrored: how audio is padded at both ends"""


GE2E_MEL = MelConfig()
"""PaddleSpeech's, Resemblyzer's and Real-Time-Voice-Cloning's: 40 linear mel powers"""

LOG_MEL_80 = MelConfig(n_mels=80, scale="log")

DECIBEL_MEL_80 = MelConfig(
    n_mels=80, window="hamming", filters="symmetric", scale="decibel", mean_normalize=True
)
"""SpeechBrain's, for ECAPA-TDNN: its Fbank with its sentence normalization"""
