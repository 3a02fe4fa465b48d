"""The data on which `timbral train --keep-old` is measured: new and old voices, and tests of both.

    python recipes/accuracy/old_voices.py CORPORA OUTPUT

CORPORA is that of prepare.py. OUTPUT becomes

    new/                  speechocean762 without its dev speakers, to train on
    old-clean/            half of librispeech-251, each excerpt cut into five
    old-degraded/         the same, four of the five over the telephone, in noise (5 dB), loud and
                          fast, quiet and slow
    trials-clean.txt      the other half, treated in the same ways; utt2spk-clean, utt2spk-degraded
    trials-degraded.txt   name the speakers

The trials of `old-clean` are within a session. Speed also changes the pitch, as a raised voice
does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from prepare import TESTED, training_rows

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.augment.telephone import Telephone, apply_telephone
from timbral.data.corpora.corpus_files import audio_files
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Utterance, sorted_manifest
from timbral.data.prepared.prepare import prepare
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import draw_pairs, write_trials

Treatment = Callable[[Wave], Wave]
RATE = 16_000


def over_telephone(wave: Wave) -> Wave:
    waves = torch.from_numpy(wave.copy())[None]
    apply_telephone(waves, Telephone(torch.tensor([0]), torch.tensor([False])))
    coded: Wave = waves[0].numpy()
    return coded


def at_speed(wave: Wave, factor: float, gain: float) -> Wave:
    times = np.arange(0, len(wave) - 1, factor)
    moved = gain * np.interp(times, np.arange(len(wave)), wave)
    return np.asarray(np.clip(moved, -1.0, 1.0), dtype=np.float32)


class Noise:
    """Adds one of the recorded noises at 5 dB, drawn from a seed."""

    def __init__(self, folder: Path) -> None:
        loaded = (load(path) for path in sorted(audio_files(folder)))
        self._noises = [wave for wave in loaded if len(wave) > RATE]
        self._random = np.random.default_rng(0)

    def __call__(self, wave: Wave) -> Wave:
        noise = self._noises[self._random.integers(len(self._noises))]
        offset = self._random.integers(max(1, len(noise) - len(wave)))
        noise = np.resize(noise[offset:], len(wave))
        gain = np.sqrt(np.mean(wave**2) / (np.mean(noise**2) + 1e-12)) * 10 ** (-5 / 20)
        mixed: Wave = np.clip(wave + gain * noise, -1.0, 1.0).astype(np.float32)
        return mixed


def cut(row: Utterance, treatments: dict[str, Treatment], folder: Path) -> list[Utterance]:
    """Write a fifth of each excerpt for each treatment, as separate files."""
    wave, pieces = load(row.path), []
    length = len(wave) // len(treatments)
    for number, (name, treat) in enumerate(treatments.items()):
        path = folder / row.speaker / f"{row.utterance}-{number}-{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, treat(wave[number * length : (number + 1) * length]), RATE)
        pieces.append(replace(row, utterance=path.stem, path=str(path)))
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    corpora, output = options.corpora.resolve(), options.output.resolve()
    new = [row for row in training_rows(corpora) if row.corpus == "speechocean762"]
    prepare(new, output / "new", Preprocessing())
    libri = [
        row
        for row in scan_corpus("librispeech", corpora / "librispeech-251")
        if row.speaker not in TESTED
    ]
    libri.sort(key=lambda row: int(row.speaker))
    treatments: dict[str, Treatment] = {
        "clean": lambda wave: wave,
        "telephone": over_telephone,
        "noise": Noise(corpora / "noise"),
        "loud-fast": lambda wave: at_speed(wave, 1.06, 8.0),
        "quiet-slow": lambda wave: at_speed(wave, 0.94, 0.05),
    }
    clean: dict[str, Treatment] = dict.fromkeys(treatments, treatments["clean"])
    for kind, which in (("clean", clean), ("degraded", treatments)):
        for name, half in (("old", libri[::2]), ("test", libri[1::2])):
            folder = output / "wav" / f"{name}-{kind}"
            rows = [piece for row in half for piece in cut(row, which, folder)]
            if name == "old":
                prepare(sorted_manifest(rows, output), output / f"old-{kind}", Preprocessing())
                continue
            pairs = draw_pairs([row.speaker for row in rows])
            trials = [Trial(label, rows[one].path, rows[two].path) for label, one, two in pairs]
            write_trials(output / f"trials-{kind}.txt", trials)
            lines = "".join(f"{row.path} {row.speaker}\n" for row in rows)
            (output / f"utt2spk-{kind}").write_text(lines, "utf-8")


if __name__ == "__main__":
    main()
