"""Recordings beyond a limit are refused before all of them is decoded."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from timbral.audio import sound
from timbral.audio.decode import decode_bytes, decode_bytes_with_channels
from timbral.audio.length_limit import LengthLimit
from timbral.errors import AudioError

LIMIT = LengthLimit(5)


def encoded(format: str, subtype: str, seconds: float, rate: int = 8_000) -> bytes:
    wave = 0.1 * np.sin(np.arange(round(seconds * rate)) / 5)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, subtype, format=format)
    return file.getvalue()


def webm(seconds: int) -> bytes:
    """Opus, as browsers record it."""
    av = pytest.importorskip("av", reason="needs the extra [ffmpeg]")
    file = io.BytesIO()
    with av.open(file, "w", "webm") as container:
        stream = container.add_stream("libopus", 48_000, layout="mono")
        for _ in range(seconds):
            samples = (0.1 * np.sin(np.arange(48_000) / 50)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, "flt", "mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "GSM610"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("WEBM", ""),
    ],
)
def test_every_format_keeps_the_limit(
    format: str, subtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: Callable[[float], bytes] = (
        (lambda seconds: webm(round(seconds)))
        if format == "WEBM"
        else (lambda seconds: encoded(format, subtype, seconds))
    )
    wave, rate = decode_bytes(make(4), "first", LIMIT)
    assert len(wave) / rate == pytest.approx(4, abs=0.1)
    monkeypatch.setattr(sound, "_read", None)  # nothing is decoded where the header tells
    with pytest.raises(AudioError, match=r"first: .*the limit of 5 s") as refused:
        decode_bytes_with_channels(make(8), "first", LIMIT)
    assert refused.value.kind == "too-long"


def test_many_channels_at_a_high_rate_are_too_much() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((48_000 * 3, 8), np.int16), 48_000, format="FLAC")
    with pytest.raises(AudioError, match="8 channels at 48,000 Hz") as refused:
        decode_bytes(file.getvalue(), "first", LIMIT)
    assert refused.value.kind == "too-large"
