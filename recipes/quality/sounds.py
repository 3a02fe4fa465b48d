"""Speech, noise, music and synthetic sounds, to fit the speech model on and to test it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from timbral.audio.decode import Wave, decode, resample

RATE = 16_000
TRAIN_NOISE = ("mycroft", "speechbrain")
TEST_NOISE = ("picovoice", "speech-commands-background")
TRAIN_MUSIC = ("Hungarian", "Sugar")
TEST_MUSIC = ("Vibe_Ace",)
TRAIN_ROOMS = ("rir1", "rir2", "Concrete_Room", "rir48000")
TEST_ROOMS = ("rir3", "rir4", "Derlon", "ir_bathroom1", "impulse_response_0")


@dataclass(frozen=True)
class Sounds:
    """Paths of real recordings; half of the projects of each kind are held out."""

    speech: list[Path]
    noise: list[Path]
    music: list[Path]
    rooms: list[Path]


def find_sounds(data: Path, *, held_out: bool) -> Sounds:
    ocean = data / "speechocean762-train"
    dev = set((ocean / "speakers-dev.txt").read_text().split())
    speakers = dict(line.split() for line in (ocean / "utt2spk").read_text().splitlines())
    rows = [line.split() for line in (ocean / "wav.scp").read_text().splitlines()]
    speech = [ocean / path for name, path in rows if (speakers[name] in dev) == held_out]
    if held_out:
        speech += sorted((data / "VCTK").rglob("*.wav")) + sorted(
            (data / "LibriTTS").rglob("*.wav")
        )
        speech += sorted((data.parent / "demo-voices").rglob("*.ogg"))
    else:
        speech += sorted((data / "librispeech-251").rglob("*.flac"))
        speech += sorted((data / "wake-words-unlabeled").rglob("*.ogg"))
    noise = TEST_NOISE if held_out else TRAIN_NOISE
    return Sounds(
        speech,
        [path for name in noise for path in sorted((data / "noise" / name).iterdir())],
        _named(data / "music", TEST_MUSIC if held_out else TRAIN_MUSIC),
        _named(data / "rooms", TEST_ROOMS if held_out else TRAIN_ROOMS),
    )


def _named(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if any(name in path.name for name in names)]


def read(path: Path) -> Wave:
    wave, rate = decode(path)
    return resample(wave, rate, RATE)


def crop(wave: Wave, seconds: float, random: np.random.Generator) -> Wave:
    count = int(seconds * RATE)
    if wave.size <= count:
        return wave
    start = random.integers(0, wave.size - count)
    return wave[start : start + count]


def loudest(wave: Wave, seconds: float) -> Wave:
    """The crop with the most energy: a random second of a recording may be a pause."""
    count = int(seconds * RATE)
    if wave.size <= count:
        return wave
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    start = int(np.argmax(energy[count:] - energy[:-count]))
    return wave[start : start + count]


def telephone(wave: Wave) -> Wave:
    """G.711 mu-law at 8 kHz, back at 16 kHz."""
    narrow = np.clip(soxr.resample(wave, RATE, 8_000), -1, 1)
    squeezed = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    steps = np.rint(squeezed * 127) / 127
    opened = np.sign(steps) * (256 ** np.abs(steps) - 1) / 255
    wide: Wave = soxr.resample(opened.astype(np.float32), 8_000, RATE)
    return wide


def reverberate(wave: Wave, room: Wave) -> Wave:
    size = wave.size + room.size - 1
    length = 1 << (size - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, length) * np.fft.rfft(room, length), length)[: wave.size]
    return _like(wet, wave)


def mixed(wave: Wave, noise: np.ndarray, snr_db: float) -> Wave:
    """At an SNR over all of both."""
    noise = np.resize(noise, wave.size)
    gain = np.sqrt(np.mean(wave**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-snr_db / 20)
    return _like(wave + gain * noise, wave)


def _like(wave: np.ndarray, model: Wave) -> Wave:
    peak = np.abs(wave).max() + 1e-9
    return np.asarray(wave * (np.abs(model).max() / peak), dtype=np.float32)


def colored(random: np.random.Generator, count: int, slope: float) -> Wave:
    """Noise whose power falls with frequency to the power `slope`."""
    spectrum = np.fft.rfft(random.standard_normal(count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20)
    wave = np.fft.irfft(spectrum * hertz ** (-slope / 2), count)
    return np.asarray(0.1 * wave / np.abs(wave).max(), dtype=np.float32)


def made(random: np.random.Generator, seconds: float) -> Iterator[tuple[str, Wave]]:
    """One of each kind of made sound that is no speech."""
    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    yield "noise", colored(random, count, random.uniform(-1, 3))
    hertz = np.exp(random.uniform(np.log(80), np.log(3_500)))
    yield "tone", _sounding(np.sin(2 * np.pi * hertz * time), random)
    yield "harmonic tone", _sounding(_harmonics(np.full(count, hertz / 4 + 50), random), random)
    low, high = sorted(np.exp(random.uniform(np.log(80), np.log(3_500), 2)))
    sweep = low * (high / low) ** ((time * random.uniform(0.1, 1)) % 1)
    yield "sweep", _sounding(np.sin(2 * np.pi * np.cumsum(sweep) / RATE), random)
    yield "dial", _sounding(_dial(random, count), random)
    yield "hum", _sounding(_harmonics(np.full(count, random.choice([50.0, 60.0])), random), random)
    yield "chords", _sounding(_chords(random, count), random)
    yield "melody", _sounding(_melody(random, count), random)
    rate = np.exp(random.uniform(np.log(0.5), np.log(12)))
    pulses = (1 + np.sin(2 * np.pi * rate * time)) ** random.uniform(1, 4)
    yield "pulsing noise", colored(random, count, random.uniform(0, 2)) * pulses.astype(np.float32)
    yield "clicks", _clicks(random, count)
    yield "silence", (1e-4 * random.standard_normal(count)).astype(np.float32)
    yield "beeps", _sounding(_beeps(random, time), random)


def _sounding(wave: np.ndarray, random: np.random.Generator) -> Wave:
    noise = 10 ** random.uniform(-4, -1.3) * random.standard_normal(wave.size)
    wave = wave / (np.abs(wave).max() + 1e-9)
    return np.asarray(10 ** random.uniform(-2, 0) * 0.8 * (wave + noise) / 1.3, dtype=np.float32)


def _harmonics(hertz: np.ndarray, random: np.random.Generator) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    fall = random.uniform(0.5, 2)
    tones = [
        np.sin(order * phase + random.uniform(0, 6)) / order**fall
        for order in range(1, random.integers(3, 20))
    ]
    return np.asarray(np.sum(tones, axis=0))


def _steps(random: np.random.Generator, count: int) -> Iterator[tuple[slice, int]]:
    at = 0
    while at < count:
        length = int(RATE * np.exp(random.uniform(np.log(0.1), np.log(0.8))))
        yield slice(at, min(at + length, count)), min(length, count - at)
        at += length


def _dial(random: np.random.Generator, count: int) -> np.ndarray:
    wave, on = np.zeros(count), int(RATE * random.uniform(0.05, 0.2))
    gap = int(RATE * random.uniform(0.04, 0.3))
    for start in range(0, count, on + gap):
        time = np.arange(min(on, count - start)) / RATE
        low = random.choice([697, 770, 852, 941])
        high = random.choice([1_209, 1_336, 1_477, 1_633])
        wave[start : start + time.size] = np.sin(2 * np.pi * low * time)
        wave[start : start + time.size] += np.sin(2 * np.pi * high * time)
    return wave


def _chords(random: np.random.Generator, count: int) -> np.ndarray:
    wave = np.zeros(count)
    for inside, length in _steps(random, count):
        root = 110 * 2 ** (random.integers(0, 24) / 12)
        decay = np.exp(-np.arange(length) / RATE * random.uniform(0, 6))
        for semitones in (0, random.choice([3, 4]), 7):
            wave[inside] += decay * _harmonics(
                np.full(length, root * 2 ** (semitones / 12)), random
            )
    return wave


def _melody(random: np.random.Generator, count: int) -> np.ndarray:
    """Notes with attack, decay and vibrato, some of them sliding, over soft drums."""
    wave = np.zeros(count)
    vibrato = random.choice([0, random.uniform(0, 0.03)])
    for inside, length in _steps(random, count):
        time = np.arange(length) / RATE
        hertz = 110 * 2 ** (random.integers(0, 36) / 12)
        hertz = hertz * (1 + vibrato * np.sin(2 * np.pi * random.uniform(4, 7) * time))
        envelope = (1 - np.exp(-time * 80)) * np.exp(-time * random.uniform(0, 8))
        wave[inside] += envelope * _harmonics(hertz, random)
    return np.asarray(wave + random.choice([0.0, 0.5]) * _drums(random, count))


def _drums(random: np.random.Generator, count: int) -> np.ndarray:
    wave, beat = np.zeros(count), int(RATE * random.uniform(0.15, 0.5))
    for start in range(0, count, beat):
        time = np.arange(min(beat, count - start)) / RATE
        hit = random.standard_normal(time.size) * np.exp(-time * random.uniform(10, 40))
        low = np.sin(2 * np.pi * random.uniform(50, 120) * time) * np.exp(-time * 15)
        wave[start : start + time.size] += random.choice([hit, low, hit + low])
    return wave


def _clicks(random: np.random.Generator, count: int) -> Wave:
    wave = np.zeros(count)
    for start in random.integers(0, count, int(count / RATE * random.uniform(1, 12)) + 1):
        time = np.arange(min(2_000, count - start)) / RATE
        ring = np.sin(2 * np.pi * random.uniform(300, 5_000) * time)
        hit = random.choice([ring, random.standard_normal(time.size)])
        wave[start : start + time.size] += hit * np.exp(-time * random.uniform(30, 500))
    return _sounding(wave, random)


def _beeps(random: np.random.Generator, time: np.ndarray) -> np.ndarray:
    rate, hertz = random.uniform(0.3, 6), random.uniform(300, 3_000)
    on = (time * rate) % 1 < random.uniform(0.2, 0.8)
    return on * np.sin(2 * np.pi * hertz * time)
