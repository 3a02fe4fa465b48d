#!/usr/bin/env bash
# pyroomacoustics 0.10.1, scipy 1.17.1, numpy 2.4.6
#
# Guess, written down before: Room.simulate(snr=...) adds noise at the ratio asked for, to 0.5 dB. (That it leaves the rest of
# a recording as it is went without saying.)
# Seen: the ratio is right, but three things happen beside it. Each source is scaled to a variance of 1 at the microphone, as
# the docstring says: speech that peaked at 0.5 peaks at 7, and a quarter of the samples is cut off where it is written as
# 16 bits; and a second voice, 17 dB softer at the microphone, is as loud as the first. The noise stays in the room (sigma2_awgn)
# and is for that scale: simulate() without snr, for the clean recording beside the noisy one, adds it to speech
# that is no longer scaled. Where 20 dB were asked for, the "clean" one has -2 dB, for speech 20 dB softer -21 dB.
# Who is hurt: whoever makes noisy and clean pairs for enhancement or for training that is to ignore noise, with one room and
# the noisy one first: the clean half is the worse one; and whoever makes mixtures for diarization: near and far
# speakers, the reason for a room, are all equally loud.
# What to do: room.sigma2_awgn = None before each simulate() without snr, or a new room; return_premix=True without snr, and
# add the noise yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyroomacoustics==0.10.1 scipy==1.17.1 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pyroomacoustics as pra

RATE, SECONDS, ASKED = 16_000, 4, 20.0
generator = np.random.default_rng(0)


def sound(level: float) -> np.ndarray:
    """Noise with pauses and stresses of a tenth of a second, as speech has them."""
    return level * generator.standard_normal(SECONDS * RATE) * np.repeat(generator.random(10 * SECONDS), RATE // 10)


def room(*sounds: np.ndarray) -> pra.ShoeBox:
    box = pra.ShoeBox([5, 4, 3], fs=RATE, materials=pra.Material(0.3), max_order=8)
    for each, place in zip(sounds, ([1, 1, 1.5], [4, 3, 1.5]), strict=False):
        box.add_source(place, signal=each)
    box.add_microphone([3, 2, 1.5])
    return box


def heard(box: pra.ShoeBox, **options) -> np.ndarray:
    box.simulate(**options)
    return box.mic_array.signals[0].copy()


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return float(20 * np.log10(one.std() / other.std()))


ok = True
for level in (0.1, 0.01):
    box = room(sound(level))
    clean = heard(box)
    noisy = heard(box, snr=ASKED)
    again = heard(box)
    gain = noisy @ clean / (clean @ clean)
    ratio, left = decibels(gain * clean, noisy - gain * clean), decibels(clean, again - clean)
    cut = np.mean(np.abs(noisy) > 1)
    box.sigma2_awgn = None
    same = np.array_equal(heard(box), clean)
    print(f"clean peaks at {np.abs(clean).max():.2f}; snr={ASKED:.0f}: ratio {ratio:.1f} dB, peak {np.abs(noisy).max():.1f}, "
          f"{cut:.0%} beyond full scale; simulate() after it: ratio {left:.1f} dB, with sigma2_awgn = None "
          + ("clean" if same else "not clean"))
    ok &= abs(ratio - ASKED) < 0.5 and np.abs(noisy).max() > 3 and cut > 0.1 and left < ASKED - 15 and same
two = room(sound(0.1), sound(0.01))
apart = [decibels(*two.simulate(return_premix=True, **options)[:, 0]) for options in ({}, {"snr": ASKED})]
print(f"two voices: {apart[0]:.1f} dB apart, with snr={ASKED:.0f} {abs(apart[1]):.1f} dB")
ok &= apart[0] > 14 and abs(apart[1]) < 0.1
sys.exit(0 if ok else "the behavior has changed: levels stay, or the noise is gone afterwards")
PYTHON
