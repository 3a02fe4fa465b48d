"""Degrade samples: rooms, noise and codecs.

The conditions are those of the recordings that recipes/calibration fits on, with more rooms, some
of them simulated. Rooms and noises of its test recordings are not among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from timbral.audio.decode import Wave

sys.path.insert(0, str(Path(__file__).parents[2] / "calibration"))

import degrade
from degrade import RATE, Sounds
from recordings import ROOMS_TO_FIT, any_condition

__all__ = ["WaveConditions"]

ROOM = 0.5
"""fraction of crops in a room, besides those that `any_condition` puts into one"""
SIMULATED = 0.6
"""fraction of these rooms that are simulated; the others are recorded"""
NOISE_FOLDERS = ("mycroft", "speech-commands-background")
RT60 = (0.15, 1.0)
"""seconds in which a simulated room decays by 60 dB"""
RT60_HIGH = (0.4, 1.0)
"""the same at high frequencies, as a fraction of it"""
DIRECT_TO_REVERBERANT = (-6.0, 12.0)
"""ratio of energies, dB"""
FIRST_REFLECTION = (0.002, 0.02)
"""seconds after the direct sound"""


class WaveConditions:
    """Rooms, noise and codecs at random."""

    def __init__(self, sounds: Sounds) -> None:
        self._sounds = sounds
        self._change = any_condition(sounds)

    @classmethod
    def read(cls, corpora: Path) -> WaveConditions:
        noises = [path for name in NOISE_FOLDERS for path in (corpora / "noise" / name).iterdir()]
        return cls(Sounds.read(noises, [corpora / "rooms" / name for name in ROOMS_TO_FIT]))

    def apply(self, wave: Wave, rng: np.random.Generator) -> Wave:
        """Degraded samples (T,)."""
        if rng.random() < ROOM:
            rooms = self._sounds.rooms
            simulated = rng.random() < SIMULATED
            room = simulated_room(rng) if simulated else rooms[int(rng.integers(len(rooms)))]
            wave = degrade.reverberate(wave, room)
        return self._change(wave, rng)


def simulated_room(rng: np.random.Generator) -> Wave:
    """A room impulse response of noise that decays exponentially, faster at high frequencies."""
    rt60 = float(rng.uniform(*RT60))
    time = np.arange(round(rt60 * RATE)) / RATE
    low_decay, high_decay = (
        10 ** (-3 * time / (rt60 * part)) for part in (1.0, float(rng.uniform(*RT60_HIGH)))
    )
    lowpass = np.hanning(17) / np.hanning(17).sum()
    noises = rng.normal(size=(2, len(time)))
    low = np.convolve(noises[0], lowpass, "same")
    high = noises[1] - np.convolve(noises[1], lowpass, "same")
    response = low * low_decay + high * high_decay
    response[: round(float(rng.uniform(*FIRST_REFLECTION)) * RATE)] = 0.0
    energy = float(np.square(response).sum())
    ratio = 10 ** (float(rng.uniform(*DIRECT_TO_REVERBERANT)) / 10)
    response /= np.sqrt(max(energy, 1e-9) * ratio)
    response[0] = 1.0
    return np.asarray(response, dtype=np.float32)
