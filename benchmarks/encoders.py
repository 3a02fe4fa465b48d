"""Compare encoders: audio per processor time (× real time), one thread, float32.

    python benchmarks/encoders.py [ENCODER ...] [--rounds 5] [--seconds 4 8]

Encoders alternate, and medians are shown. The ratio to the last encoder is the median of the ratios
of the rounds, so that a busy machine affects both equally. Preprocessed samples are embedded one
recording at a time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from engines import recordings

import timbral

ENCODERS = ("ge2e-lstm", "campplus-zh-en")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoders", nargs="*", default=list(ENCODERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--utterances", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = {
        name: timbral.load_encoder(name, device="cpu", download=True) for name in options.encoders
    }
    last = options.encoders[-1]
    print(f"| recordings | encoder | × real time | ratio to {last} |\n| --- | --- | --- | --- |")
    for seconds in options.seconds:
        waves = recordings(options.utterances, seconds)
        audio = sum(len(wave) for wave in waves) / 16_000
        spent: dict[str, list[float]] = {name: [] for name in loaded}
        for turn in range(options.rounds + 1):
            for name, encoder in loaded.items():
                start = time.process_time()
                for wave in waves:
                    encoder.encode_preprocessed([wave])
                if turn:  # the first round warms up
                    spent[name].append(time.process_time() - start)
        for name, times in spent.items():
            ratio = statistics.median(
                peer / own for peer, own in zip(spent[last], times, strict=True)
            )
            speed = audio / statistics.median(times)
            print(f"| {seconds:g} s | {name} | {speed:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
