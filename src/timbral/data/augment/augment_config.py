"""Settings of augmentation, and presets of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from timbral.errors import ConfigError, check_ranges

__all__ = [
    "PRESETS",
    "AugmentConfig",
    "BabbleConfig",
    "BackgroundConfig",
    "BandpassConfig",
    "GainConfig",
    "RirConfig",
    "SpecAugmentConfig",
    "SpeedConfig",
    "TelephoneConfig",
]

Range = tuple[float, ...]


LIMITS: dict[str, tuple[float, float]] = {
    "snr_db": (-30.0, 100.0),
    "db": (-60.0, 60.0),
    "low_hz": (0.0, 1000.0),
    "high_hz": (1000.0, 8000.0),
    "num_speakers": (1, 100),
}
"""limits of [LOW, HIGH] by setting"""


@dataclass(frozen=True)
class BackgroundConfig:
    """Recorded noise or music, added to the speech."""

    probability: float = 0.0
    """probability for each utterance of a batch"""
    paths: tuple[str, ...] = ()
    """folders of recordings, or files"""
    snr_db: Range = (5.0, 20.0)
    """signal-to-noise ratio: of the powers of speech and recording"""


@dataclass(frozen=True)
class BabbleConfig:
    """Other speakers of the batch, added to the speech."""

    probability: float = 0.0
    num_speakers: tuple[int, ...] = (3, 7)
    """minimum and maximum number of other speakers at once"""
    snr_db: Range = (13.0, 20.0)


@dataclass(frozen=True)
class RirConfig:
    """Convolution with recorded room impulse responses."""

    probability: float = 0.0
    paths: tuple[str, ...] = ()
    apply_after_noise: bool = False
    """also convolve noise and music, as in ddvc; otherwise only the speech"""


@dataclass(frozen=True)
class GainConfig:
    """Louder or quieter."""

    probability: float = 0.0
    db: Range = (-10.0, 6.0)


@dataclass(frozen=True)
class BandpassConfig:
    """Less bandwidth, as with cheap microphones; no codec."""

    probability: float = 0.0
    low_hz: Range = (0.0, 300.0)
    high_hz: Range = (3400.0, 8000.0)


@dataclass(frozen=True)
class TelephoneConfig:
    """Telephone speech: 8 kHz, in 8 bits a sample by mu-law or A-law (ITU-T G.711)."""

    probability: float = 0.0


@dataclass(frozen=True)
class SpeedConfig:
    """Faster and slower speech; the pitch changes with the speed."""

    factors: tuple[float, ...] = (1.0,)
    """one factor is drawn for each utterance"""
    new_speakers: bool = False
    """each speaker counts as another speaker at each factor, because the pitch differs"""

    def __post_init__(self) -> None:
        wrong = [factor for factor in self.factors if not 0.5 <= factor <= 2.0]
        if wrong or not self.factors or len(set(self.factors)) < len(self.factors):
            raise ConfigError(
                f"augment.speed.factors must be different numbers in [0.5, 2]: {list(self.factors)}"
            )


@dataclass(frozen=True)
class SpecAugmentConfig:
    """SpecAugment: ranges of frames and of mels that are masked."""

    probability: float = 0.0
    time_masks: int = 1
    max_time_fraction: float = 0.1
    """widest mask, as a fraction of the frames"""
    frequency_masks: int = 1
    max_frequency_fraction: float = 0.1
    """widest mask, as a fraction of the mels"""

    def __post_init__(self) -> None:
        counts: dict[str, tuple[float, float]] = dict.fromkeys(
            ("time_masks", "frequency_masks"), (0, math.inf)
        )
        fractions = dict.fromkeys(("max_time_fraction", "max_frequency_fraction"), (0.0, 1.0))
        check_ranges(self, "augment.spec_augment", **counts, **fractions)


@dataclass(frozen=True)
class AugmentConfig:
    """What augmentation does to the utterances of a batch; nothing by default."""

    noise: BackgroundConfig = field(default_factory=BackgroundConfig)
    music: BackgroundConfig = field(default_factory=BackgroundConfig)
    babble: BabbleConfig = field(default_factory=BabbleConfig)
    rir: RirConfig = field(default_factory=RirConfig)
    gain: GainConfig = field(default_factory=GainConfig)
    bandpass: BandpassConfig = field(default_factory=BandpassConfig)
    telephone: TelephoneConfig = field(default_factory=TelephoneConfig)
    speed: SpeedConfig = field(default_factory=SpeedConfig)
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)

    def __post_init__(self) -> None:
        for item in fields(self):
            section = getattr(self, item.name)
            if hasattr(section, "probability"):
                check_ranges(section, f"augment.{item.name}", probability=(0.0, 1.0))
            for name in LIMITS.keys() & vars(section).keys():
                _check_range(f"augment.{item.name}.{name}", getattr(section, name), *LIMITS[name])


def _check_range(key: str, values: Range, low: float, high: float) -> None:
    if len(values) != 2 or not low <= values[0] <= values[1] <= high:
        raise ConfigError(f"{key} must be [LOW, HIGH] within [{low:g}, {high:g}]: {list(values)}")


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "light": {
        "noise": {"probability": 0.5, "snr_db": [5.0, 20.0]},
        "babble": {"probability": 0.2, "snr_db": [13.0, 20.0]},
        "gain": {"probability": 0.5},
    },
    "strong": {
        "noise": {"probability": 0.6, "snr_db": [0.0, 15.0]},
        "babble": {"probability": 0.3, "snr_db": [5.0, 20.0]},
        "rir": {"probability": 0.5},
        "gain": {"probability": 0.5},
        "bandpass": {"probability": 0.2},
        "speed": {"factors": [1.0, 0.9, 1.1], "new_speakers": True},
        "spec_augment": {"probability": 0.5},
    },
    "ddvc": {
        "music": {"probability": 0.6, "snr_db": [10.0, 15.0]},
        "noise": {"probability": 0.6, "snr_db": [10.0, 15.0]},
        "rir": {"probability": 0.6, "apply_after_noise": True},
    },
}
"""Presets; a config's own values override them, and it must give the recordings."""
