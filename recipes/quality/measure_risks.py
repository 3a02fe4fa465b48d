"""How often each risk is found in good recordings, and in recordings degraded on purpose.

python recipes/quality/measure_risks.py ../shared/data
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soxr
from examples import Maker
from sounds import RATE, find_sounds, mixed, read, telephone

from timbral.audio.decode import Wave
from timbral.audio.quality.measure import measure
from timbral.audio.quality.risks import risks_of


def versions(maker: Maker, wave: Wave) -> dict[str, tuple[Wave, int]]:
    """A recording as it is and degraded, with the sample rate of each version."""
    noise, peak = maker.pick(maker.noises), np.abs(wave).max()
    line, hiss = telephone(wave), maker.random.standard_normal(wave.size)
    return {
        "as it is": (wave, RATE),
        "G.711, stored at 8 kHz": (soxr.resample(line, RATE, 8_000), 8_000),
        "G.711, stored at 16 kHz": (line, RATE),
        "G.711, noise added after it": (mixed(line, hiss, 25), RATE),
        "noise, 15 dB": (mixed(wave, noise, 15), RATE),
        "noise, 5 dB": (mixed(wave, noise, 5), RATE),
        "6 dB beyond full scale": (np.clip(2 * wave / peak, -1, 1), RATE),
        "12 dB beyond full scale": (np.clip(4 * wave / peak, -1, 1), RATE),
        "30 dB quieter": (wave * 10**-1.5, RATE),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recordings", type=int, default=200)
    options = parser.parse_args()
    maker = Maker(find_sounds(options.data, held_out=True), seed=3)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    paths = maker.random.permutation(np.array(maker.sounds.speech, dtype=object))
    for path in paths[: options.recordings]:
        for name, (wave, rate) in versions(maker, read(path)).items():
            measured = measure(np.asarray(wave, dtype=np.float32), rate)
            kinds = [risk.kind for risk in risks_of(measured)]
            found[name].update(kinds)
    for name, counts in found.items():
        print(f"{name:<30} {dict(counts.most_common())} of {options.recordings}")


if __name__ == "__main__":
    main()
