"""How often `check --encoder` finds a second speaker, in recordings with one and without.

    python recipes/quality/measure_speakers.py ../shared/data --encoder campplus-zh-en

Recordings of 10 to 30 s are joined from utterances of one speaker, or of two speakers of one
corpus, the second of whom has a quarter, a third or half.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
from sounds import RATE, find_sounds, read

import timbral
from timbral.audio.decode import Wave
from timbral.inference.several_speakers import several_speakers

FRACTIONS = (0.0, 0.25, 0.35, 0.5)


def speakers_of(data: Path) -> dict[str, dict[str, list[Path]]]:
    """Recordings by corpus and speaker: none of these was in the sound model's training."""
    ocean = data / "speechocean762-train"
    speaker = dict(line.split() for line in (ocean / "utt2spk").read_text().splitlines())
    corpora: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in find_sounds(data, held_out=True).speech:
        if path.is_relative_to(ocean):
            corpora["speechocean762"][speaker[path.stem]].append(path)
        elif path.is_relative_to(data / "LibriTTS"):
            corpora["LibriTTS"][path.parts[-3]].append(path)
        else:
            corpora["VCTK" if "VCTK" in path.parts else "demo-voices"][path.parent.name].append(
                path
            )
    return corpora


def joined(paths: list[Path], seconds: float, random: np.random.Generator) -> Wave:
    waves: list[Wave] = []
    for path in random.permutation(np.array(paths, dtype=object)):
        wave = read(path)
        waves.append(wave / (10 * np.sqrt(np.mean(wave**2))))
        if sum(map(len, waves)) >= seconds * RATE:
            break
    return np.concatenate(waves)[: int(seconds * RATE)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", default="campplus-zh-en")
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()
    encoder = timbral.load_encoder(options.encoder)
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "joined.wav"
        for corpus, speakers in speakers_of(options.data).items():
            for fraction in FRACTIONS:
                found = 0
                for _ in range(options.count):
                    one, other = random.choice(sorted(speakers), 2, replace=False)
                    seconds = random.choice([10, 15, 20, 30])
                    waves = [joined(speakers[one], seconds * (1 - fraction), random)]
                    waves += [joined(speakers[other], seconds * fraction, random)] * (fraction > 0)
                    soundfile.write(path, np.concatenate(waves), RATE)
                    found += several_speakers(encoder, str(path)) is not None
                print(
                    f"{corpus:<15} second speaker {fraction:4.0%}: found in {found} of "
                    f"{options.count}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
