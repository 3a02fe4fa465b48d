"""Measures of a recording: on the shipped voices, and on signals whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest

from timbral.audio.decode import Wave, decode, resample
from timbral.audio.quality.measure import measure
from timbral.demo.shipped import VOICES

RATE = 16_000


@pytest.fixture(scope="module")
def voices() -> list[Wave]:
    """One sentence of each of eight shipped voices, 16 kHz."""
    paths = [sorted(folder.glob("*.ogg"))[0] for folder in sorted(VOICES.glob("*/"))[:8]]
    return [decode(path)[0] for path in paths]


def sine(hertz: float, seconds: float, rate: int = RATE) -> Wave:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def noise(seconds: float, level: float = 0.1) -> Wave:
    count = int(seconds * RATE)
    return (level * np.random.default_rng(1).standard_normal(count)).astype(np.float32)


def test_speech_is_told_from_other_sounds(voices: list[Wave]) -> None:
    assert all(measure(wave, RATE).speech_probability > 0.5 for wave in voices)
    silence = np.zeros(4 * RATE, np.float32)
    for other in (sine(440, 4), noise(4), silence, noise(4, 1e-5), 0.3 * sine(50, 4)):
        quality = measure(other, RATE)
        assert quality.speech_probability < 0.5
        assert quality.speech_seconds == 0


def test_level_is_rms_of_full_scale() -> None:
    for rate in (8_000, 11_025, 16_000, 22_050, 44_100, 48_000):
        quality = measure(0.5 * sine(1_000, 3, rate), rate)
        assert quality.speech_dbfs == pytest.approx(-9.03, abs=0.05)
        assert quality.seconds == pytest.approx(3, abs=1e-3)


def test_net_speech_leaves_pauses_out(voices: list[Wave]) -> None:
    wave = voices[0] / np.abs(voices[0]).max()
    alone = measure(wave, RATE).speech_seconds
    pause = noise(3, 1e-4)
    longer = measure(np.concatenate([pause, wave, pause]).astype(np.float32), RATE)
    assert 0.6 * len(wave) / RATE < alone <= len(wave) / RATE
    assert longer.speech_seconds == pytest.approx(alone, abs=0.4)


@pytest.mark.parametrize("snr_db", [30.0, 20.0, 10.0])
def test_snr_is_that_of_the_mixture(voices: list[Wave], snr_db: float) -> None:
    speech = np.concatenate([np.concatenate([wave, np.zeros(8_000)]) for wave in voices])
    clean = measure(speech.astype(np.float32), RATE)
    level = 10 ** ((clean.speech_dbfs - snr_db) / 20)
    mixed = measure((speech + noise(len(speech) / RATE, level)).astype(np.float32), RATE)
    assert mixed.snr_db == pytest.approx(snr_db, abs=2)


def test_bandwidth_is_that_of_the_line(voices: list[Wave]) -> None:
    wave = voices[1]
    narrow = resample(wave, RATE, 8_000)
    assert measure(wave, RATE).bandwidth_hz > 7_000
    assert 3_400 <= measure(narrow, 8_000).bandwidth_hz <= 4_000
    assert 3_400 <= measure(resample(narrow, 8_000, RATE), RATE).bandwidth_hz <= 4_250
    assert 7_000 <= measure(resample(wave, RATE, 48_000), 48_000).bandwidth_hz <= 8_250


def test_clipping_is_the_share_on_flat_tops(voices: list[Wave]) -> None:
    wave = voices[2] / np.abs(voices[2]).max()
    assert measure(wave, RATE).clipped_fraction < 1e-4
    clipped = np.clip(20 * wave, -1, 1)
    assert measure(clipped, RATE).clipped_fraction > 0.1
    assert measure(0.3 * clipped, RATE).clipped_fraction > 0.1  # made quieter later


def test_channels_of_one_scene_and_of_two(voices: list[Wave]) -> None:
    one, other = voices[3], voices[4]
    count = min(one.size, other.size)
    scene = measure(np.stack([one, 0.5 * np.roll(one, 20)], axis=1), RATE)
    call = np.stack([one[:count], other[:count]], axis=1)
    silent = np.stack([one, np.zeros_like(one)], axis=1)
    assert measure(one, RATE).channel_correlation is None
    assert scene.num_channels == 2
    assert (scene.channel_correlation or 0) > 0.9
    assert (measure(call, RATE).channel_correlation or 0) < 0.6
    assert measure(silent, RATE).channel_correlation == pytest.approx(0, abs=1e-3)
    opposite = measure(np.stack([one, -one], axis=1), RATE)
    assert opposite.speech_seconds == pytest.approx(measure(one, RATE).speech_seconds)


@pytest.mark.parametrize("count", [1, 100, 511, 513, 12_345])
def test_short_recordings_have_measures(voices: list[Wave], count: int) -> None:
    quality = measure(voices[5][:count], RATE)
    assert all(np.isfinite(value) for value in quality.as_dict().values() if value is not None)
