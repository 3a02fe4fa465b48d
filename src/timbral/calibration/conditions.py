"""What a score depends on besides the speakers: amount of speech, bandwidth and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from timbral.audio.quality.measures import Quality
from timbral.io.types import Floats

__all__ = ["FEATURES", "Conditions", "Ranges", "pair_features"]

MAX_SNR_DB = 60.0
"""above this SNR, and in recordings without a pause, noise does not matter"""
LEAST_SPEECH_SECONDS, LEAST_BANDWIDTH_HZ = 0.01, 1.0
"""smaller values count as these, because logarithms are taken"""
FEATURES = ("shorter", "longer", "narrower", "band difference", "noisier")
"""features of a trial: net speech of both sides (octaves of seconds), bandwidth of the narrower
side and how much wider the other is (octaves of hertz), SNR of the noisier side (tens of dB)"""


@dataclass(frozen=True)
class Conditions:
    """The measures of N recordings, or of one."""

    speech_seconds: Floats
    """net speech, above 0"""
    bandwidth_hz: Floats
    """bandwidth, above 0"""
    snr_db: Floats
    """speech over noise, at most `MAX_SNR_DB`"""

    @classmethod
    def of(cls, measured: Sequence[Quality]) -> Self:
        """The conditions of measured recordings."""
        return cls.within_limits(
            [each.speech_seconds for each in measured],
            [each.bandwidth_hz for each in measured],
            [MAX_SNR_DB if each.snr_db is None else each.snr_db for each in measured],
        )

    @classmethod
    def within_limits(
        cls, speech_seconds: ArrayLike, bandwidth_hz: ArrayLike, snr_db: ArrayLike
    ) -> Self:
        """Conditions (N,) limited to values with a logarithm, and to SNRs up to `MAX_SNR_DB`."""
        return cls(
            np.maximum(speech_seconds, LEAST_SPEECH_SECONDS),
            np.maximum(bandwidth_hz, LEAST_BANDWIDTH_HZ),
            np.minimum(snr_db, MAX_SNR_DB),
        )

    def rows(self, rows: object) -> Conditions:
        """The conditions of some of the recordings, by a NumPy index."""
        return Conditions(*(getattr(self, each.name)[rows] for each in fields(self)))

    @property
    def octaves(self) -> Floats:
        """Net speech (octaves of seconds), bandwidth (octaves from 8 kHz) and SNR (tens of dB).

        `FEATURES` are computed from these (N, 3).
        """
        bands = np.log2(np.asarray(self.bandwidth_hz) / 8000.0)
        return np.stack([np.log2(self.speech_seconds), bands, self.snr_db / 10.0], axis=-1)

    @property
    def together(self) -> Conditions:
        """The conditions of one side of a trial that has several recordings: their total speech,
        and the worst bandwidth and SNR.
        """
        return Conditions(
            np.array([self.speech_seconds.sum()]),
            np.array([self.bandwidth_hz.min()]),
            np.array([self.snr_db.min()]),
        )


@dataclass(frozen=True)
class Ranges:
    """Lowest and highest value of each measure among the recordings of a calibration."""

    speech_seconds: tuple[float, float]
    bandwidth_hz: tuple[float, float]
    snr_db: tuple[float, float]

    @classmethod
    def of(cls, conditions: Conditions) -> Ranges:
        """The middle 98 % of the values, so that outliers do not set the limits."""
        low_high = {
            each.name: np.percentile(getattr(conditions, each.name), [1.0, 99.0])
            for each in fields(cls)
        }
        return cls(**{name: (float(low), float(high)) for name, (low, high) in low_high.items()})

    def below(self, conditions: Conditions) -> NDArray[np.bool_]:
        """Which recordings (N,) are below a range: with less speech or bandwidth, or more noise."""
        below = np.zeros(np.shape(conditions.snr_db), dtype=bool)
        for each in fields(self):
            below |= getattr(conditions, each.name) < getattr(self, each.name)[0]
        return below

    def clip(self, conditions: Conditions) -> Conditions:
        """The nearest conditions within the ranges: a calibration is not extrapolated."""
        return Conditions(
            *(
                np.clip(getattr(conditions, each.name), *getattr(self, each.name))
                for each in fields(self)
            )
        )


def pair_features(first: Conditions, second: Conditions) -> Floats:
    """`FEATURES` of trials (N, 5); the order of the sides does not matter."""
    both = first.octaves, second.octaves
    low, high = np.minimum(*both), np.maximum(*both)
    columns = low[:, 0], high[:, 0], low[:, 1], high[:, 1] - low[:, 1], low[:, 2]
    return np.stack(columns, axis=-1)
