"""Error rates of the speech model on recordings, speakers and kinds of sound it was not fitted on.

    python recipes/quality/measure_sounds.py ../shared/data

Prints, for each condition and length of crop, the percentage of speech that is taken for no speech,
and for each kind of sound, the percentage that is taken for speech.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from examples import Maker
from sounds import RATE, crop, find_sounds, loudest, mixed, read, reverberate, telephone

from timbral.audio.decode import Wave
from timbral.audio.quality.measure import measure

THRESHOLD = 0.5
LENGTHS = (1.0, 2.0, 4.0, 1e9)


def conditions(maker: Maker, wave: Wave) -> dict[str, Wave]:
    noise = crop(maker.pick(maker.noises), 10, maker.random)
    music = crop(maker.pick(maker.musics), 10, maker.random)
    return {
        "clean": wave,
        "telephone": telephone(wave),
        "room": reverberate(wave, maker.pick(maker.rooms)),
        "noise 10 dB": mixed(wave, noise, 10),
        "noise 0 dB": mixed(wave, noise, 0),
        "music 10 dB": mixed(wave, music, 10),
    }


def print_missed(maker: Maker, recordings: int, threshold: float) -> None:
    missed: dict[tuple[str, float], list[bool]] = defaultdict(list)
    paths = maker.random.permutation(np.array(maker.sounds.speech, dtype=object))
    for path in paths[:recordings]:
        whole = read(path)
        for seconds in LENGTHS:
            for name, wave in conditions(maker, loudest(whole, seconds)).items():
                missed[name, seconds].append(measure(wave, RATE).speech_probability < threshold)
    for name in dict.fromkeys(name for name, _ in missed):
        cells = "  ".join(f"{100 * np.mean(missed[name, s]):5.1f}" for s in LENGTHS)
        print(f"{name:<14} {cells}   % of speech called none, at 1, 2, 4 s and whole")


def print_called(maker: Maker, rounds: int, threshold: float) -> None:
    called: dict[str, list[bool]] = defaultdict(list)
    for kind, wave in maker.other(rounds):
        called[kind].append(measure(wave, RATE).speech_probability >= threshold)
    paths = maker.sounds.noise + maker.sounds.music
    for path, wave in zip(paths, maker.noises + maker.musics, strict=True):
        for start in range(0, wave.size - 4 * RATE, 4 * RATE):
            found = measure(wave[start : start + 4 * RATE], RATE).speech_probability
            called[path.name].append(found >= threshold)
    for kind, calls in called.items():
        print(f"{kind:<40} {100 * np.mean(calls):5.1f}   % of {len(calls)} called speech")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recordings", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    options = parser.parse_args()
    maker = Maker(find_sounds(options.data, held_out=True), seed=17)
    print_missed(maker, options.recordings, options.threshold)
    print_called(maker, options.rounds, options.threshold)


if __name__ == "__main__":
    main()
