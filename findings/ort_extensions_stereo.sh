#!/usr/bin/env bash
# onnxruntime-extensions 0.15.2, onnxruntime 1.32.0, onnx 1.23.2, soundfile 0.14.0, numpy 2.4.6
#
# Guess, written down before: AudioDecoder, the operator that puts the reading of files into an encoder's ONNX graph, gives what
# soundfile reads: a channel in a row of its own, or their mean with stereo_to_mono, at 16 kHz without what lies above 8 kHz
# (below -40 dB), and MP3 that begins where the recording does.
# Seen: without stereo_to_mono, which is off unless asked for, the output is one row, and a stereo file lies in it sample by
# sample, left and right by turns: two people in one track, at half speed, an octave lower, for twice as long. With
# downsampling_rate that row is resampled as if it were one channel. With stereo_to_mono=1 two channels become their mean, but
# four become two by turns: 300 Hz is 150 Hz again. Nothing raises, and the shape is that of mono.
# At 16 kHz 9 kHz is folded to 7 kHz only 6 to 8 dB weaker, 10 kHz to 6 kHz 10 to 14 dB weaker, from 48, 44.1 and 32 kHz.
# MP3 is 1,681 samples late (210 ms at 8 kHz; 2,257 at 44.1 kHz) and longer than soundfile's.
# Who is hurt: whoever ships an encoder that takes files: mono files pass every test, stereo ones give vectors of something else.
# What to do: stereo_to_mono=1, and read what has more than two channels, MP3 and other rates than the encoder's elsewhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check onnxruntime-extensions==0.15.2 onnxruntime==1.32.0 \
  onnx==1.23.2 soundfile==0.14.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import soundfile
from onnxruntime_extensions import PyOrtFunction

SECONDS = 2


def tone(hertz: float, rate: int) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(SECONDS * rate) / rate)


def decode(samples: np.ndarray, rate: int, kind: tuple[str, str] = ("WAV", "FLOAT"), **options: int) -> np.ndarray:
    """The row of samples that the operator makes of a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind[0], subtype=kind[1])
    operator = PyOrtFunction.from_customop("AudioDecoder", **options)
    output = operator(np.frombuffer(file.getvalue(), np.uint8)[None], "")
    assert output.shape[0] == 1
    return output[0]


def strongest(samples: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return rate * power.argmax() / len(samples)


ok = True
print("a tone of 300 Hz in all channels, 2 s")
for rate, options in ((16000, {}), (48000, {"downsampling_rate": 16000})):
    for channels in (1, 2, 4):
        for mono in (0, 1):
            sound = np.tile(tone(300, rate)[:, None], channels)
            row = decode(sound, rate, stereo_to_mono=mono, **options)
            seconds, hertz = len(row) / 16000, strongest(row, 16000)
            print(f"  {rate} Hz, {channels} channels, stereo_to_mono={mono}: {seconds:.1f} s of {hertz:.0f} Hz")
            turns = channels // 2 if mono and channels > 1 else channels
            ok &= abs(seconds - SECONDS * turns) < 0.01 and abs(hertz - 300 / turns) < 2
generator = np.random.default_rng(0)
call = 0.1 * generator.standard_normal((16000, 2))
ok &= np.allclose(decode(call, 16000), call.reshape(-1), atol=1e-6)
ok &= np.allclose(decode(call, 16000, stereo_to_mono=1), call.mean(1), atol=1e-6)

for rate in (48000, 44100, 32000):
    softer = []
    for hertz in (1000, 9000, 10000):
        row = decode(tone(hertz, rate), rate, downsampling_rate=16000)
        softer.append(20 * np.log10(row.std() / tone(hertz, rate).std()))
        expected = min(hertz, 16000 - hertz)
        ok &= abs(strongest(row, 16000) - expected) < 5
    print(f"{rate} to 16000 Hz: 1 kHz {softer[0]:.1f} dB, 9 kHz {softer[1]:.1f} dB, 10 kHz {softer[2]:.1f} dB")
    ok &= softer[0] > -1 and softer[1] > -9 and softer[2] > -16

for rate in (8000, 16000, 44100):
    noise = np.convolve(0.1 * generator.standard_normal(SECONDS * rate), np.hanning(9) / 4, "same")
    file = io.BytesIO()
    soundfile.write(file, noise, rate, format="MP3", subtype="MPEG_LAYER_III")
    right, _ = soundfile.read(io.BytesIO(file.getvalue()))
    row = decode(noise, rate, ("MP3", "MPEG_LAYER_III"))
    late = int(np.correlate(row, right, "valid").argmax())
    print(f"MP3 at {rate} Hz: {late} samples late ({1000 * late / rate:.0f} ms), {len(row) - len(right)} samples longer")
    ok &= late > 1000
sys.exit(0 if ok else "the behavior has changed: channels, treble or the beginning of MP3 are treated otherwise")
PYTHON
