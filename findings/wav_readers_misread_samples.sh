#!/usr/bin/env bash
# audioread 3.1.0, pydub 0.25.1, kaldiio 2.18.1, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: readers of WAV and AIFF give the samples of every encoding that soundfile writes (8, 16, 24 and
# 32 bits, floats, A-law, mu-law; plain and WAVE_FORMAT_EXTENSIBLE), or raise. Twelve readers were tried.
# Seen: nine do; these three hand out something else, in the right rate and duration and without a word.
# audioread: AIFF of 24 and 32 bits and of A-law is noise, 13 dB above what was written and not correlated with it (samples
# are cut to 16 bits before their bytes are put in order); 8 bits of a WAV are taken as signed, so that silence is as loud as
# can be; 8 bits of an AIFF are scrambled and 31 dB too soft.
# pydub: floats, A-law and mu-law in extensible WAV (WAVEX, RF64) are read as integers, 12 dB too loud: the bits of
# a float, or the codes. Plain WAV of these it leaves to ffmpeg, and raises where there is none.
# kaldiio: load_mat and load_scp hand out the codes of A-law and mu-law and the unsigned bytes of 8 bits, from 0 to 255, where
# 16 bits come as -32,768 to 32,767.
# Who is hurt: whoever reads studio recordings (AIFF of 24 bits, RF64 of floats) or telephone corpora (A-law, mu-law) with
# them: vectors are computed of noise or of codes, and tell rather how a file was written than who speaks.
# What to do: soundfile.read, which reads all of these; look at the mean and the peak of what comes back.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check audioread==3.1.0 pydub==0.25.1 kaldiio==2.18.1 \
  soundfile==0.14.0 numpy==2.4.6 "audioop-lts==0.2.2; python_version >= '3.13'"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from pathlib import Path

import audioread
import kaldiio
import numpy as np
import soundfile
from pydub import AudioSegment

RATE = 16_000
time = np.arange(2 * RATE) / RATE
written = 0.3 * np.sin(2 * np.pi * 300 * time) * (1 + np.sin(2 * np.pi * 2 * time)) / 2


def with_audioread(path: str) -> np.ndarray:
    with audioread.audio_open(path) as file:
        return np.frombuffer(b"".join(file), "<i2") / 32_768


def with_pydub(path: str) -> np.ndarray:
    segment = AudioSegment.from_file(path, format="wav")
    return np.array(segment.get_array_of_samples()) / 2 ** (8 * segment.sample_width - 1)


def with_kaldiio(path: str) -> np.ndarray:
    Path("wav.scp").write_text(f"one {path}\n")
    rate, samples = kaldiio.load_scp("wav.scp")["one"]
    assert rate == RATE and np.array_equal(samples, kaldiio.load_mat(path)[1])
    return samples / 32_768


CASES = (  # reader, container, encoding, whether it comes out right
    ("audioread", "WAV", "PCM_16", True), ("audioread", "WAV", "PCM_24", True), ("audioread", "AIFF", "PCM_16", True),
    ("audioread", "AIFF", "PCM_24", False), ("audioread", "AIFF", "PCM_32", False), ("audioread", "AIFF", "ALAW", False),
    ("audioread", "WAV", "PCM_U8", False), ("audioread", "AIFF", "PCM_S8", False),
    ("pydub", "WAV", "PCM_24", True), ("pydub", "WAVEX", "PCM_24", True), ("pydub", "WAVEX", "FLOAT", False),
    ("pydub", "RF64", "FLOAT", False), ("pydub", "WAVEX", "ULAW", False), ("pydub", "WAVEX", "ALAW", False),
    ("kaldiio", "WAV", "PCM_16", True), ("kaldiio", "WAV", "PCM_U8", False), ("kaldiio", "WAV", "ALAW", False),
    ("kaldiio", "WAV", "ULAW", False),
)
readers = {"audioread": with_audioread, "pydub": with_pydub, "kaldiio": with_kaldiio}
ok = True
for reader, container, encoding, right in CASES:
    soundfile.write("sound", written, RATE, subtype=encoding, format=container)
    assert np.abs(soundfile.read("sound")[0] - written).max() < 0.02
    samples = readers[reader]("sound")
    alike = np.corrcoef(samples, written)[0, 1]
    louder = 20 * np.log10(samples.std() / written.std())
    off = np.abs(samples - written).max()
    print(f"{reader}, {container} of {encoding}: correlation {alike:.2f}, level {louder:+.0f} dB, mean {samples.mean():.3f}, "
          f"at most {off:.4f} off")
    ok &= len(samples) == len(written) and (off < 1e-3 if right else off > 0.05)
    if (reader, container) == ("audioread", "AIFF") and not right and encoding != "PCM_S8":
        ok &= abs(alike) < 0.3
sys.exit(0 if ok else "the behavior has changed: samples come out as written, or the reader raises")
PYTHON
