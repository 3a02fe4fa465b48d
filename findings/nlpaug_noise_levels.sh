#!/usr/bin/env bash
# nlpaug 1.1.11, numpy 2.4.6
#
# Guess, written down before: NoiseAug adds noise that can be heard and leaves speech that can be understood, and its level goes by
# the speech.
# Seen: the level goes by the color and the recording's length alone, whether the speech is loud or soft. White noise has -42 dBFS
# in a recording of a second, -52 in one of ten, -60 in one of a minute. Blue (azure) noise is 31 to 49 dB above full scale
# and violet (purple) noise 107 to 160; pink and red (brown, brownian) noise has less than -100 dBFS above 100 Hz. So with
# color="random" four of nine colors drown any voice, and four leave it as it is. Each noise is the same backwards. Samples
# of int16 change by one unit at most.
# Who is hurt: whoever augments to train a speaker encoder: most examples are as clean as before, or noise alone, and longer
# recordings are cleaner than short ones.
# What to do: noises=[...] with noise of one's own, scaled to the recording before, for these are added as they are.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check nlpaug==1.1.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import nlpaug.augmenter.audio as naa
import numpy as np

RATE = 16_000
np.random.seed(0)  # nlpaug draws from it
generator = np.random.default_rng(0)


def added(color: str, seconds: int, level: float = -26) -> np.ndarray:
    """What is added to a recording at a level in dBFS."""
    samples = 10 ** (level / 20) * generator.standard_normal(seconds * RATE)
    return np.asarray(naa.NoiseAug(zone=(0, 1), color=color).augment(samples)).ravel() - samples


def levels(noise: np.ndarray) -> tuple[float, float]:
    """In dBFS: all of it, and what can be heard of it, above 100 Hz."""
    powers = np.abs(np.fft.rfft(noise)) ** 2
    heard = powers[np.fft.rfftfreq(len(noise), 1 / RATE) > 100].sum() / powers.sum()
    total = 10 * np.log10(np.mean(noise**2))
    return float(total), float(total + 10 * np.log10(heard))


found = {}
for color in ("white", "pink", "red", "blue", "violet"):
    for seconds in (1, 10, 60):
        found[color, seconds] = levels(added(color, seconds))[1]
    print(f"{color} noise above 100 Hz in recordings of 1, 10 and 60 s: "
          + ", ".join(f"{found[color, seconds]:.0f}" for seconds in (1, 10, 60)) + " dBFS")
soft, loud = levels(added("white", 3, -50))[1], levels(added("white", 3, -10))[1]
print(f"white noise added to 3 s at -50 dBFS: {soft:.0f} dBFS, at -10 dBFS: {loud:.0f} dBFS")
noise = added("white", 3)[1:]
mirrored = float(np.corrcoef(noise, noise[::-1])[0, 1])
print(f"a noise and itself backwards: a correlation of {mirrored:.3f}")
integers = (3000 * generator.standard_normal(3 * RATE)).astype(np.int16)
changed = np.asarray(naa.NoiseAug(zone=(0, 1)).augment(integers)).ravel().astype(int) - integers
print(f"int16 samples of {np.abs(integers).max()} at most change by {np.abs(changed).max()} at most")
ok = found["white", 1] - found["white", 60] > 15 and abs(soft - loud) < 1 and mirrored > 0.99 and np.abs(changed).max() <= 1
ok = ok and min(found["blue", 1], found["violet", 1]) > 20 and max(found["pink", 1], found["red", 1]) < -80
sys.exit(0 if ok else "the behavior has changed: noise can be heard and leaves the speech")
PYTHON
