#!/usr/bin/env bash
# webrtcvad-wheels 2.0.14.post1, numpy 2.4.6
#
# Guess, written down before: a Vad object remembers a little of the recording before, but fewer than the
# first second of the next recording is judged differently.
# Seen: it takes its estimate of noise along. Of a quiet voice (-50 dBFS, 10 s), mode 3 (the one that speaker
# encoders' pipelines use) finds speech in half of the frames if the object is fresh, and in 1 % if it took in 30 s of
# noise (-20 dBFS) before, to the end of the 10 s. Ten seconds of digital silence in between clear nothing. At -40 dBFS
# few frames differ, but still after 6 s.
# Who is hurt: whoever makes one Vad per process and trims many recordings with it. The speech that is kept,
# and so the embedding and the mean of the speaker, depend on which file came before, thus on the number of
# workers and the order of the files.
# What to do: a new webrtcvad.Vad(mode) for each recording; it has no reset.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check webrtcvad-wheels==2.0.14.post1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import webrtcvad

RATE, FRAME, MODE = 16000, 480, 3
generator = np.random.default_rng(0)


def voice(seconds: int, level: float) -> np.ndarray:
    """A buzz through three formants that comes and goes three times a second, over faint noise."""
    time = np.arange(seconds * RATE) / RATE
    phase = np.cumsum(200 * (1 + 0.3 * np.sin(4 * np.pi * time))) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    lengths = np.arange(1600) / RATE
    formants = ((600, 80, 1.0), (1400, 100, 0.5), (2600, 150, 0.3))
    ring = sum(a * np.exp(-np.pi * width * lengths) * np.sin(2 * np.pi * f * lengths) for f, width, a in formants)
    size = 1 << (len(pulses) + len(ring)).bit_length()
    wave = np.fft.irfft(np.fft.rfft(pulses, size) * np.fft.rfft(ring, size), size)[: len(pulses)]
    wave *= np.convolve(np.sin(6 * np.pi * time) > 0.3, np.ones(320) / 320, "same")
    return wave * level / np.sqrt(np.mean(wave**2)) + 1e-4 * generator.standard_normal(len(wave))


def flags(vad: webrtcvad.Vad, wave: np.ndarray) -> np.ndarray:
    pcm = (np.clip(wave, -1, 1) * 32767).astype("<i2")
    starts = range(0, len(pcm) - FRAME + 1, FRAME)
    return np.array([vad.is_speech(pcm[start : start + FRAME].tobytes(), RATE) for start in starts])


noise = 0.1 * generator.standard_normal(30 * RATE)
ok = True
for level in (0.003, 0.01):
    recording = voice(10, level)
    fresh = flags(webrtcvad.Vad(MODE), recording)
    print(f"voice at {20 * np.log10(level):.0f} dBFS; fresh object: speech in {fresh.mean():.0%} of frames")
    for name, before in (("30 s of noise", noise), ("noise, 10 s of zeros", np.r_[noise, np.zeros(10 * RATE)])):
        used = webrtcvad.Vad(MODE)
        flags(used, before)
        found = flags(used, recording)
        differ = np.flatnonzero(found != fresh)
        last = differ.max() * FRAME / RATE if len(differ) else 0.0
        print(f"  after {name}: {found.mean():.0%}; {len(differ)} frames differ, the last at {last:.1f} s")
        ok &= last > 1 and (level > 0.003 or found.mean() < fresh.mean() - 0.2)
sys.exit(0 if ok else "the behavior has changed: the recording before no longer matters so much")
PYTHON
