"""timbral-small and CAM++: microseconds of processor time per 10 ms of audio.

    python benchmarks/small.py [--rounds 7]

From samples to unit vectors in one thread. campplus-zh-en and timbral-small are measured in
timbral's optimized form, in float32 and, if the processor supports it, in int8; campplus-zh-en also
layer by layer in float32, as the original computes it. Encoders alternate, and medians are shown;
ratios to campplus-zh-en in float32 are medians of the ratios of the rounds. Audio is of the shipped
voices.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import timbral
from timbral.audio.preprocessing import load
from timbral.demo.shipped import VOICES
from timbral.encoders.base import SpeakerEncoder
from timbral.inference.embedder import Embedder
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES

CASES = {
    "8 x 4 s": [4.0] * 8,
    "6 x 8 s": [8.0] * 6,
    "12 x 3 to 9 s": list(np.linspace(3.0, 9.0, 12)),
    "1 x 4 s": [4.0],
    "1 x 8 s": [8.0],
}
RATE = 16_000
Run = Callable[[list[Any]], object]


def layer_by_layer(embedder: Embedder) -> Run:
    """The network without timbral's form for inference, one recording at a time."""
    network = embedder.runtime.network
    assert isinstance(network, SpeakerEncoder)

    @torch.no_grad()
    def run(waves: list[Any]) -> None:
        for wave in waves:
            samples = torch.from_numpy(wave)[None]
            network(samples, torch.tensor([samples.shape[1]]))

    return run


def encoders() -> dict[str, Run]:
    """The encoders by name; the others are compared with the first one."""
    precisions = ["fp32", "int8"] if CAN_MULTIPLY_BYTES else ["fp32"]
    found: dict[str, Run] = {}
    for name in ("campplus-zh-en", "timbral-small"):
        for precision in precisions:
            embedder = timbral.load_encoder(name, device="cpu", precision=precision)
            found[f"{name} {precision}"] = embedder.encode_preprocessed
    plain = timbral.load_encoder("campplus-zh-en", device="cpu")
    return found | {"campplus-zh-en layer by layer": layer_by_layer(plain)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds: int = parser.parse_args().rounds
    torch.set_num_threads(1)
    speech = np.concatenate([load(path) for path in sorted(VOICES.glob("*/*.ogg"))[::12]])
    rng = np.random.default_rng(0)
    runs = encoders()
    for case, lengths in CASES.items():
        sizes = [round(seconds * RATE) for seconds in lengths]
        starts = [int(rng.integers(0, len(speech) - size)) for size in sizes]
        waves = [
            speech[start : start + size].copy() for start, size in zip(starts, sizes, strict=True)
        ]
        times: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run(waves)
        for _ in range(rounds):
            for name, run in runs.items():
                began = time.process_time()
                run(waves)
                seconds = time.process_time() - began
                times[name].append(seconds * 1e4 * RATE / sum(sizes))
        base = next(iter(times.values()))
        for name, values in times.items():
            ratio = statistics.median(first / own for first, own in zip(base, values, strict=True))
            print(f"{case:14} {name:30} {statistics.median(values):6.1f} us {ratio:6.2f} times")


if __name__ == "__main__":
    main()
