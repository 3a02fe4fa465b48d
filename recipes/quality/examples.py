"""Labeled windows of features: of sounds as they are, and over lines, in rooms and in noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sounds import RATE, Sounds, crop, made, mixed, read, reverberate, telephone

from timbral.audio.decode import Wave
from timbral.audio.quality.short_time import analyze
from timbral.audio.quality.sound_features import windows_of

CONDITIONS = (
    "clean",
    "clean",
    "telephone",
    "room",
    "room",
    "noise",
    "noise",
    "music",
    "all",
    "faint",
)
LOUD_DB = 15.0
"""windows of a speech recording that are at most this far below the loudest are examples of
speech"""


class Maker:
    """Draws examples; equal seeds draw equal ones."""

    def __init__(self, sounds: Sounds, seed: int) -> None:
        self.sounds = sounds
        self.random = np.random.default_rng(seed)
        self.noises = [read(path) for path in sounds.noise]
        self.musics = [read(path) for path in sounds.music]
        self.rooms = [read(path) for path in sounds.rooms]

    def speech(self, paths: list[Path], crops: int) -> Iterator[Wave]:
        for path in paths:
            wave = read(path)
            for _ in range(crops):
                cut = crop(wave, self.seconds(), self.random)
                yield self.changed(cut, str(self.random.choice(CONDITIONS)))

    def other(self, rounds: int) -> Iterator[tuple[str, Wave]]:
        for _ in range(rounds):
            for kind, waves in (("real noise", self.noises), ("real music", self.musics)):
                for _ in range(6):
                    wave = waves[self.random.integers(len(waves))]
                    cut = crop(wave, self.seconds(), self.random)
                    yield kind, self.varied(cut)
            for kind, wave in made(self.random, self.seconds()):
                yield kind, self.varied(wave)

    def changed(self, wave: Wave, condition: str) -> Wave:
        if condition == "clean":
            return wave
        if condition == "telephone":
            return telephone(wave)
        if condition == "room":
            return reverberate(wave, self.pick(self.rooms))
        if condition == "music":
            return mixed(
                wave, crop(self.pick(self.musics), 5, self.random), self.random.uniform(5, 20)
            )
        if condition == "faint":
            return mixed(wave, self.random.standard_normal(wave.size), self.random.uniform(5, 30))
        noise = crop(self.pick(self.noises), 5, self.random)
        if condition == "noise":
            return mixed(wave, noise, self.random.uniform(0, 20))
        return telephone(
            mixed(reverberate(wave, self.pick(self.rooms)), noise, self.random.uniform(5, 20))
        )

    def varied(self, wave: Wave) -> Wave:
        """A sound that is no speech, maybe faster or slower, in a room, over the telephone."""
        if self.random.random() < 0.5:
            speed = self.random.uniform(0.7, 1.4)
            at = np.arange(0, wave.size - 1, speed)
            wave = np.interp(at, np.arange(wave.size), wave).astype(np.float32)
        if self.random.random() < 0.2:
            wave = reverberate(wave, self.pick(self.rooms))
        if self.random.random() < 0.25:
            other = self.pick(self.noises + self.musics)
            wave = mixed(wave, crop(other, 5, self.random), self.random.uniform(-5, 20))
        if self.random.random() < 0.25:
            wave = telephone(wave)
        return wave

    def seconds(self) -> float:
        """The length of a crop, as often in each octave."""
        return float(np.exp(self.random.uniform(np.log(0.9), np.log(4))))

    def pick(self, waves: list[Wave]) -> Wave:
        return waves[self.random.integers(len(waves))]


def features(wave: Wave, *, loud_only: bool) -> np.ndarray:
    rows, levels = windows_of(analyze(wave, RATE))
    return rows[levels >= levels.max() - LOUD_DB] if loud_only else rows
