"""Short crops of real speech, for searches of recordings with little speech.

    python recipes/gallery/crops.py EMBEDDINGS OUTPUT [--seconds LOW HIGH] [--speech LOW HIGH]

EMBEDDINGS is an `embed` folder of many speakers. From both halves of each speaker's recordings, in
their order, equally many crops are written: OUTPUT/SPEAKER/a*.flac and b*.flac, of `--seconds`
duration and with `--speech` seconds of net speech. `timbral embed ENCODER OUTPUT` embeds them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile as sf
from material import Material

from timbral.audio.decode import Wave, decode
from timbral.audio.quality.measure import measure
from timbral.embeddings.table import read_embeddings

TRIES = 60
Range = tuple[float, float]


def crop(path: str, seconds: Range, speech: Range, seed: list[int]) -> tuple[Wave, int] | None:
    """A crop of a recording, and its rate; None where none was found with so much speech."""
    generator = np.random.default_rng(seed)
    samples, rate = decode(path)
    for _ in range(TRIES):
        size = round(generator.uniform(*seconds) * rate)
        if size > len(samples):
            continue
        start = int(generator.integers(len(samples) - size + 1))
        piece = samples[start : start + size]
        if speech[0] <= measure(piece, rate).speech_seconds <= speech[1]:
            return piece, rate
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, nargs=2, default=(1.0, 1.0))
    parser.add_argument("--speech", type=float, nargs=2, default=(0.55, 1.0))
    parser.add_argument("--per-half", type=int, default=2)
    options = parser.parse_args()
    paths = read_embeddings(options.embeddings)["path"].to_pylist()
    rows_of = Material.read(options.embeddings).rows_of()
    written = 0
    for number, (speaker, rows) in enumerate(sorted(rows_of.items())):
        half = len(rows) // 2
        for side, of_side in (("a", rows[:half]), ("b", rows[half:])):
            order = np.random.default_rng([number, half]).permutation(of_side)
            found = 0
            for place, row in enumerate(np.tile(order, options.per_half)):
                made = crop(paths[row], options.seconds, options.speech, [number, place])
                if made is not None:
                    path = options.output / speaker / f"{side}{found:02}.flac"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    sf.write(path, *made)
                    found += 1
                if found == options.per_half:
                    break
            written += found
    print(f"{options.output}: {written:,} crops of {len(rows_of):,} speakers", file=sys.stderr)


if __name__ == "__main__":
    main()
