"""Degradations of a recording before it is compared: crops, rooms, noise, telephones.

Every function takes and returns mono float32 samples (T,) at 16 kHz.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile as sf
import soxr

from timbral.audio.decode import Wave, decode, decode_bytes
from timbral.data.augment.rir import trim_response

RATE = 16_000
TELEPHONE_RATE = 8_000


@dataclass(frozen=True)
class Sounds:
    """Noises and room impulse responses at 16 kHz."""

    noises: list[Wave]
    rooms: list[Wave]

    @classmethod
    def read(cls, noises: Sequence[Path], rooms: Sequence[Path]) -> Sounds:
        return cls(
            [load(path) for path in sorted(noises)],
            [trim_response(load(path)) for path in sorted(rooms)],
        )


def load(path: Path | str) -> Wave:
    samples, rate = decode(str(path))
    return np.asarray(soxr.resample(samples, rate, RATE), dtype=np.float32)


def crop(wave: Wave, seconds: float, generator: np.random.Generator) -> Wave:
    size = min(len(wave), round(seconds * RATE))
    start = int(generator.integers(len(wave) - size + 1))
    return wave[start : start + size]


def reverberate(wave: Wave, response: Wave) -> Wave:
    """Convolve with a room's response; level and length stay."""
    size = len(wave) + len(response) - 1
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)[: len(wave)]
    return np.asarray(wet * (_rms(wave) / max(_rms(wet), 1e-9)), dtype=np.float32)


def add_noise(wave: Wave, noise: Wave, snr_db: float, generator: np.random.Generator) -> Wave:
    start = int(generator.integers(len(noise)))
    piece = np.resize(np.roll(noise, -start), len(wave))
    scale = _rms(wave) / max(_rms(piece), 1e-9) * 10 ** (-snr_db / 20)
    return np.asarray(wave + scale * piece, dtype=np.float32)


def at_any_level(wave: Wave, generator: np.random.Generator, lowest_dbfs: float = -40.0) -> Wave:
    """At an RMS level between `lowest_dbfs` and the highest without clipping, evenly in dB."""
    highest = 20 * np.log10(_rms(wave) * 0.99 / float(np.abs(wave).max()))
    level = generator.uniform(lowest_dbfs, highest)
    return wave * np.float32(10 ** (level / 20) / _rms(wave))


def telephone(wave: Wave, codec: str) -> Wave:
    """Through a telephone codec at 8 kHz and back: ``mu-law``, ``a-law`` or ``gsm``."""
    subtype = {"mu-law": "ULAW", "a-law": "ALAW", "gsm": "GSM610"}[codec]
    narrow = soxr.resample(_within_range(wave), RATE, TELEPHONE_RATE)
    return _through_file(narrow, TELEPHONE_RATE, "WAV", subtype, len(wave))


def opus(wave: Wave, bit_rate: int = 8_000) -> Wave:
    """Through Opus at 8 kHz (narrow band), as calls over the internet at their worst, and back."""
    narrow = soxr.resample(_within_range(wave), RATE, TELEPHONE_RATE)
    content = io.BytesIO()
    with av.open(content, "w", format="ogg") as container:
        stream = container.add_stream("libopus", TELEPHONE_RATE, bit_rate=bit_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(narrow[None].astype(np.float32), "flt", "mono")
        frame.sample_rate = TELEPHONE_RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    back, rate = decode_bytes(content.getvalue(), "opus")
    wide = np.asarray(soxr.resample(back, rate, RATE), dtype=np.float32)
    return np.pad(wide[: len(wave)], (0, max(0, len(wave) - len(wide))))


def vorbis(wave: Wave) -> Wave:
    """Through a lossy codec at its lowest quality."""
    return _through_file(_within_range(wave), RATE, "OGG", "VORBIS", len(wave), compression=1.0)


def _through_file(
    wave: Wave, rate: int, container: str, subtype: str, size: int, compression: float | None = None
) -> Wave:
    content = io.BytesIO()
    with sf.SoundFile(
        content, "w", rate, 1, subtype, format=container, compression_level=compression
    ) as file:
        file.write(wave)
    content.seek(0)
    back, _ = sf.read(content, dtype="float32")
    wide = soxr.resample(back, rate, RATE)
    return np.asarray(np.pad(wide[:size], (0, max(0, size - len(wide)))), dtype=np.float32)


def _within_range(wave: Wave) -> Wave:
    return wave / max(1.0, float(np.abs(wave).max()) / 0.95)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
