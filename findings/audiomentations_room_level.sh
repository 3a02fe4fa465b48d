#!/usr/bin/env bash
# audiomentations 0.43.1, pyroomacoustics 0.10.1, scipy 1.17.1, numpy 2.4.6
#
# Guess, written down before: RoomSimulator, with its default settings, leaves the level of a recording (to 3 dB) and its time
# (to 10 ms).
# Seen: the time yes, the level no: sound like speech comes out 9 to 20 dB louder, by another figure in each draw, and what
# peaked at 0.40 peaks at 1.2 to 2.4. Nothing is scaled and nothing said; the impulse responses of pyroomacoustics have a direct
# sound of about 1 over the distance in meters, and the echoes add to it. A soft recording is raised alike.
# ApplyImpulseResponse, of which the code says that it does the same, brings each recording to a peak of 0.5, whether it was
# at 0.40 or at 0.02.
# Who is hurt: whoever augments with either at p=0.5: recordings in a room are the loud ones, which tells an encoder or
# a spoofing detector more than the echo does; where they are written as 16 bits, or meet a transform that clips,
# samples are cut off; and noise of a fixed amplitude that is added later (AddGaussianNoise, noise_rms="absolute") is by so much
# softer against them than was chosen.
# What to do: a gain back to the level before, right after it; or Normalize all, with a room and without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check audiomentations==0.43.1 pyroomacoustics==0.10.1 \
  scipy==1.17.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import random
import sys
import wave

import numpy as np
from audiomentations import ApplyImpulseResponse, RoomSimulator
from scipy.signal import lfilter

RATE, SECONDS, DRAWS = 16_000, 4, 8
random.seed(0)
np.random.seed(0)
generator = np.random.default_rng(0)
stresses = np.repeat(generator.random(10 * SECONDS), RATE // 10)
noise = generator.standard_normal(SECONDS * RATE)
sounds = {"white": noise * stresses, "as bright as speech": lfilter([1.0], [1.0, -0.9], noise) * stresses}
echo = 0.05 * generator.standard_normal(RATE // 4) * np.exp(-np.arange(RATE // 4) / 1_000)
echo[0] = 0.9
with wave.open("echo.wav", "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(RATE)
    file.writeframes(np.round(32_767 * echo).astype("<i2").tobytes())


def delay(late: np.ndarray, sound: np.ndarray) -> int:
    """Samples, where the cross-correlation is greatest."""
    size = 2 * len(sound)
    return int(np.argmax(np.abs(np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(sound, size)))[: RATE // 10])))


ok = True
rooms = (RoomSimulator(p=1.0, leave_length_unchanged=True), ApplyImpulseResponse("echo.wav", p=1.0, leave_length_unchanged=True))
for name, sound in sounds.items():
    for peak in (0.4, 0.02):
        samples = (peak * sound / np.abs(sound).max()).astype(np.float32)
        for way in rooms:
            outs = [way(samples=samples, sample_rate=RATE) for _ in range(DRAWS)]
            louder = [float(20 * np.log10(out.std() / samples.std())) for out in outs]
            peaks = [float(np.abs(out).max()) for out in outs]
            late = max(delay(out, samples) for out in outs) / RATE
            cut = max(float(np.mean(np.abs(out) > 1)) for out in outs)
            print(f"{name}, {type(way).__name__}: {min(louder):.1f} to {max(louder):.1f} dB louder, peaks {min(peaks):.2f} to "
                  f"{max(peaks):.2f} for {peak}, up to {cut:.1%} beyond full scale, at most {1000 * late:.1f} ms late")
            if isinstance(way, RoomSimulator):
                ok &= np.median(louder) > 6 and max(peaks) > 2.5 * peak and late < 0.01
            else:
                ok &= abs(max(peaks) - 0.5) < 0.01
sys.exit(0 if ok else "the behavior has changed: levels stay")
PYTHON
