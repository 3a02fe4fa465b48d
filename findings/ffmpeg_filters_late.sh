#!/usr/bin/env bash
# imageio-ffmpeg 0.8.1 (with ffmpeg 9.0.2), numpy 2.4.6
#
# Guess, written down before: ffmpeg's filters that one puts before an encoder (noise reduction, equalizers, level) keep a
# recording's length, and its sound is where it was, to 2 ms.
# Seen: the length is kept, for as much is cut off at the end as the sound is late: afftdn 25 ms at any rate; afftfilt 384, 192
# and 64 ms at 8, 16 and 48 kHz; dialoguenhance 192, 96 and 32; superequalizer 512, 256 and 85; surround 256, 128 and 43.
# Nothing is said, and the timestamps do not make up for it. highpass and speechnorm are where they should be.
# Who is hurt: whoever cuts turns, words or trials out of the filtered recording by times of the original, or compares
# both: each turn loses its beginning and has as much of the next speaker's, and a recording's last word loses its end,
# up to half a second of a telephone call.
# What to do: adelay on a copy and cross-correlation find the delay once; then pad the end before and cut the beginning
# after: -af "apad=pad_dur=0.192,afftfilt=...,atrim=start=0.192".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check imageio-ffmpeg==0.8.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
import wave

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS = 8
EXPECTED = {  # milliseconds at 8, 16 and 48 kHz
    "afftdn": (25, 25, 25),
    "afftfilt": (384, 192, 64),
    "dialoguenhance": (192, 96, 32),
    "superequalizer": (512, 256, 85),
    "surround": (256, 128, 43),
    "highpass=f=80": (0, 0, 0),
    "speechnorm": (0, 0, 0),
}
PAN = {"dialoguenhance": ",pan=mono|c0=FC", "surround": ",pan=mono|c0=FC"}  # where they put the voice


def speech(rate: int) -> np.ndarray:
    """A voice that says a word every third of a second, the last one until the end."""
    generator = np.random.default_rng(0)
    times = np.arange(SECONDS * rate) / rate
    voice = sum(np.sin(2 * np.pi * 140 * k * (times + 0.004 * np.sin(2 * np.pi * 3 * times))) / k for k in range(1, 25))
    words = np.clip(np.sin(2 * np.pi * 3 * times + 2) + 0.3 * np.sin(2 * np.pi * 0.7 * times), 0, None)
    return 0.06 * voice * words + 1e-4 * generator.standard_normal(len(times))


def samples(path: str) -> np.ndarray:
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def late(filtered: np.ndarray, clean: np.ndarray, rate: int) -> float:
    """By how many milliseconds the one is behind the other."""
    size = 2 * len(clean)
    spectra = np.fft.rfft(filtered, size) * np.conj(np.fft.rfft(clean, size))
    return 1000 * int(np.argmax(np.fft.irfft(spectra, size)[: len(clean)])) / rate


ok = True
print("ms late at     8 kHz   16 kHz   48 kHz   length")
for name, expected in EXPECTED.items():
    delays, lengths = [], []
    for rate in (8_000, 16_000, 48_000):
        clean = speech(rate)
        with wave.open("clean.wav", "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((clean * 32767).astype("<i2").tobytes())
        command = [FFMPEG, "-v", "error", "-y", "-i", "clean.wav", "-af", name + PAN.get(name, ""), "-ac", "1", "filtered.wav"]
        subprocess.run(command, check=True)
        filtered = samples("filtered.wav")
        delays.append(late(filtered, clean, rate))
        lengths.append(len(filtered) / rate)
    print(f"{name:14}" + "".join(f"{delay:6.0f}   " for delay in delays) + f" {min(lengths):.3f} s")
    ok &= all(abs(delay - right) < 2 for delay, right in zip(delays, expected)) and min(lengths) > SECONDS - 0.002
sys.exit(0 if ok else "the behavior has changed: other filters are late, or the end is there")
PYTHON
