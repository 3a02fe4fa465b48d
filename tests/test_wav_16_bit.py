"""Wav files of 16-bit PCM are read as libsndfile reads them, whatever their headers say."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbral.audio.byte_source import content_source, open_source
from timbral.audio.decode import Wave, decode, decode_bytes, decode_bytes_with_channels, to_int16
from timbral.audio.opening import open_sound
from timbral.errors import AudioError

Tone = Callable[..., Wave]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("extra", [b"", b"\0\0"])
def test_16_bit_wav_is_read_as_libsndfile_reads_it(channels: int, extra: bytes) -> None:
    numbers = np.random.default_rng(0).integers(-32_768, 32_768, (900, channels), dtype=np.int16)
    fields = (1, channels, 22_050, 22_050 * 2 * channels, 2 * channels, 16)
    header = (b"fmt ", struct.pack("<HHIIHH", *fields) + extra)
    samples = (b"data", numbers.tobytes())
    for content in (
        riff(header, samples),
        riff((b"LIST", b"INFOISFT\2\0\0\0x\0"), header, samples, (b"id3 ", b"x")),
        riff((b"JUNK", bytes(70_001)), header, samples),
    ):
        expected, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        wave, channels_read, found = decode_bytes_with_channels(content, "a")
        assert found == rate == 22_050
        np.testing.assert_array_equal(channels_read, expected)
        np.testing.assert_array_equal(wave, expected.mean(axis=1))


@pytest.mark.parametrize("again", [(), (2, 8_000)])
def test_a_wav_file_with_two_formats_is_refused(again: tuple[int, int]) -> None:
    channels, rate = again or (1, 16_000)
    formats = [
        (b"fmt ", struct.pack("<HHIIHH", 1, count, hertz, 2 * count * hertz, 2 * count, 16))
        for count, hertz in ((1, 16_000), (channels, rate))
    ]
    with pytest.raises(AudioError, match="cannot be read as audio"):
        decode_bytes(riff(*formats, (b"data", b"\1\2" * 800)), "a")


def test_what_libsndfile_says_of_unusual_headers_holds_for_16_bits(tone: Tone) -> None:
    numbers = to_int16(tone(0.5))
    data = (b"data", numbers.tobytes())
    many = struct.pack("<HHIIHH", 1, 2_000, 16_000, 64_000_000, 4_000, 16)
    with pytest.raises(AudioError, match="Too many channels"):
        decode_bytes(riff((b"fmt ", many), data), "a")
    fields = (b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    with pytest.raises(AudioError, match="Format not recog"):
        decode_bytes(riff(fields, data).replace(b"WAVE", b"WAVF", 1), "a")
    half = (b"ds64", struct.pack("<QQQI", 0, numbers.size, numbers.size // 2, 0))
    wave, _ = decode_bytes(riff(half, fields, data).replace(b"RIFF", b"RF64", 1), "a")
    assert len(wave) == numbers.size // 2


def test_a_file_behind_a_wav_file_and_its_last_chunks_is_told(tone: Tone) -> None:
    fields = (b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    samples = (b"data", to_int16(tone(0.5)).tobytes())
    one = riff(fields, samples, (b"LIST", b"INFOISFT\2\0\0\0x\0"), (b"id3 ", b"odd"))
    assert len(decode_bytes(one + b"trailing text", "a")[0]) == 8_000
    assert len(decode_bytes(one + bytes(10_000), "a")[0]) == 8_000
    with pytest.raises(AudioError, match=f"a second file is appended at byte {len(one):,}"):
        decode_bytes(one + one, "a")
    for between in ((), ((b"LIST", b"INFO"),)):
        with pytest.raises(AudioError, match="a second data chunk is appended at byte"):
            decode_bytes(riff(fields, samples, *between, samples), "a")


class ShortReads(io.BytesIO):
    """A file that returns few bytes at once, as Linux does of those beyond 2 GiB."""

    def read(self, count: int | None = -1, /) -> bytes:
        return super().read(count if count is None or count < 0 else min(count, 1_001))


def test_reading_goes_on_after_a_short_read(tone: Tone) -> None:
    content = io.BytesIO()
    soundfile.write(content, tone(1.0), 16_000, format="WAV")
    whole = content_source(content.getvalue(), "a")
    source = replace(whole, file=ShortReads(content.getvalue()))
    with open_sound(source) as sound, open_sound(whole) as expected:
        np.testing.assert_array_equal(sound.read(0, 16_000), expected.read(0, 16_000))


def test_a_wav_file_that_becomes_shorter_while_it_is_open_is_truncated(
    tmp_path: Path, tone: Tone
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(1.0)] * 2, 1), 16_000)
    with open_source(str(path), "a", whole=True) as source, open_sound(source) as sound:
        os.truncate(path, 44 + 4 * 10_000 + 3)
        assert sound.read(0, sound.num_samples).shape == (10_000, 2)
        os.truncate(path, 0)
        assert sound.read(5_000, sound.num_samples).shape == (0, 2)


def test_fewer_samples_than_a_16_bit_header_states_are_counted(tmp_path: Path) -> None:
    numbers = np.full(16_000, 9_000, np.int16)
    fields = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    content = riff((b"fmt ", fields), (b"data", numbers.tobytes()))
    (tmp_path / "a.wav").write_bytes(content[:-1_001])  # in the middle of a sample
    assert len(decode(tmp_path / "a.wav")[0]) == 16_000 - 501
    (tmp_path / "a.wav").write_bytes(content[:-8_000])
    with pytest.raises(AudioError, match=r"truncated: 0.75 of 1.00 s"):
        decode(tmp_path / "a.wav")
