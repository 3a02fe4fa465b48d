"""What C libraries print to descriptor 2 while they decode."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from timbral.audio.decode import decode, decode_bytes
from timbral.audio.mp3 import mp3_streams
from timbral.errors import AudioError
from timbral.io.standard_error import without_standard_error

RATE = 16_000
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors are the process's")


def mp3() -> bytes:
    """Two seconds of a chord with a slow beat, at a variable bit rate."""
    time = np.arange(2 * RATE) / RATE
    wave = np.sin(2 * np.pi * 3 * time) * sum(np.sin(400 * k * time) / 4 for k in range(1, 4))
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="MP3", bitrate_mode="VARIABLE")
    return file.getvalue()


def test_one_call_is_silenced_and_other_threads_are_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inside, outside = threading.Event(), threading.Event()

    def call() -> int:
        os.write(2, b"dropped\n")
        inside.set()
        assert outside.wait(10)
        os.write(2, b"dropped\n")
        return 7

    def beside() -> None:
        assert inside.wait(10)
        os.write(2, b"shown\n")
        outside.set()

    other = threading.Thread(target=beside)
    other.start()
    with open(tmp_path / "open", "w") as file:
        assert without_standard_error(call) == 7
        file.write("still open")
    other.join()
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\nshown\n"
    assert (tmp_path / "open").read_text() == "still open"


def test_exceptions_come_out() -> None:
    with pytest.raises(ZeroDivisionError):
        without_standard_error(lambda: 1 // 0)


def test_damaged_mp3_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libmpg123 prints a line, which names no file, for each frame that it cannot decode."""
    content = bytearray(mp3())
    whole, _ = decode_bytes(bytes(content), "whole")
    [stream] = mp3_streams(bytes(content))
    for start in stream.starts[10:20]:
        content[start + 8 : start + 30] = bytes(255 - byte for byte in content[start + 8 :][:22])
    (tmp_path / "damaged.mp3").write_bytes(content)
    wave, _ = decode(tmp_path / "damaged.mp3")
    size = stream.frame.samples
    assert wave.shape == whole.shape
    np.testing.assert_allclose(wave[: 6 * size], whole[: 6 * size], atol=1e-6)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.mp3", "a.bin"])
@pytest.mark.parametrize("head", [b"no audio", b"\xff\xfb\0\0", b"\xff\xfd\x80\x04"])
def test_what_only_looks_like_mp3_prints_nothing(
    name: str, head: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(head + b"text" * 3_000)
    with pytest.raises(AudioError, match="cannot be read as audio"):
        decode(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_mp3_that_begins_within_a_frame_is_read(tmp_path: Path) -> None:
    content = mp3()
    [stream] = mp3_streams(content)
    (tmp_path / "cut.mp3").write_bytes(content[stream.starts[10] + 5 :])
    wave, _ = decode(tmp_path / "cut.mp3")
    assert len(wave) == (len(stream.starts) - 11) * stream.frame.samples
