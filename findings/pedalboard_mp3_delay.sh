#!/usr/bin/env bash
# pedalboard 0.9.26, soundfile 0.14.0 (libsndfile in its wheel), numpy 2.4.6
#
# Guess, written down before: pedalboard reads an MP3 as soundfile does: the same number of samples, none shifted.
# Seen: it keeps what the encoder put before and after: 1,105 samples at the start and some hundred at the end, and
# counts them in frames. That is 138 ms at 8 kHz, 69 ms at 16 kHz, 25 ms at 44.1 kHz. soundfile returns
# exactly the samples that were written.
# Who is hurt: whoever cuts speakers out of MP3 recordings (podcasts, crowd-sourced corpora) by times that another
# program found. At 8 or 16 kHz each cut begins 7 to 14 frames of 10 ms early, and ends as much too early: short turns hold
# the end of the speaker before.
# What to do: read MP3 for cuts with the program that made the times, or with soundfile; compare len() of both once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pedalboard==0.9.26 soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile
from pedalboard.io import AudioFile

path = str(Path(sys.argv[1]) / "sound.mp3")
generator = np.random.default_rng(0)


def shift(written: np.ndarray, read: np.ndarray) -> int:
    """By how many samples what was read comes later."""
    size = 2 * max(len(written), len(read))
    match = np.fft.irfft(np.fft.rfft(written, size).conj() * np.fft.rfft(read, size), size)
    return (match.argmax() + size // 2) % size - size // 2


ok = True
for rate in (8000, 16000, 44100):
    sound = np.convolve(generator.standard_normal(3 * rate + 123), np.ones(8) / 8, "same")
    sound = np.clip(0.3 * sound / sound.std(), -0.9, 0.9)
    soundfile.write(path, sound, rate, format="MP3")
    one, _ = soundfile.read(path)
    with AudioFile(path) as file:
        other = file.read(file.frames)[0]
    delay = shift(sound, other)
    print(f"{rate} Hz: written {len(sound)}; soundfile {len(one)}, shift {shift(sound, one)}; "
          f"pedalboard {len(other)}, shift {delay} = {1000 * delay / rate:.0f} ms")
    ok &= len(one) == len(sound) and shift(sound, one) == 0 and delay > 500 and len(other) > len(sound)
sys.exit(0 if ok else "the behavior has changed: both read the same samples now")
PYTHON
