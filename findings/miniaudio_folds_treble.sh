#!/usr/bin/env bash
# miniaudio 1.71, soxr 1.1.0, numpy 2.4.6
#
# Guess, written down before: decode_file(..., sample_rate=16000) weakens what lies above 8 kHz by 40 dB or more.
# Seen: a tone of 9 kHz in a 44.1 or 48 kHz recording comes out 6 to 8 dB weaker, one of 10 kHz 10 to 12 dB, one of
# 12 kHz about 20 dB, each at the frequency it folds to (7, 6 and 4 kHz). soxr leaves nothing of them (-130 dB).
# Who is hurt: speaker encoders that take 16 kHz. The energy of s and sh above 8 kHz lands in their upper mel bands,
# but only for files that were not at 16 kHz before: enrollment and test then differ by the reader, not by the voice.
# What to do: decode at the file's own rate and resample with a steep filter (soxr).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check miniaudio==1.71 soxr==1.1.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import wave
from pathlib import Path

import miniaudio
import numpy as np
import soxr

TARGET = 16000
path = str(Path(sys.argv[1]) / "tone.wav")


def strength(tone: np.ndarray) -> tuple[float, int]:
    """dB against the tone that was written, and the frequency of the strongest line."""
    middle = tone[1000:-1000]
    lines = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    level = 20 * np.log10(np.std(middle) / (0.5 / np.sqrt(2)) + 1e-9)
    return level, round(lines.argmax() * TARGET / len(middle))


ok = True
for rate in (44100, 48000):
    for hertz in (9000, 10000, 12000):
        tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(3 * rate) / rate)
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((tone * 32767).astype("<i2").tobytes())
        decoded = miniaudio.decode_file(path, miniaudio.SampleFormat.FLOAT32, 1, TARGET)
        level, found = strength(np.array(decoded.samples))
        steep, _ = strength(soxr.resample(tone, rate, TARGET))
        print(f"{hertz} Hz at {rate}: miniaudio {level:6.1f} dB at {found} Hz, soxr {steep:7.1f} dB")
        ok &= level > -30 and abs(found - (TARGET - hertz)) < 20 and steep < -80
sys.exit(0 if ok else "the behavior has changed: the folded tones are weak now")
PYTHON
