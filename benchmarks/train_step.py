"""A training step of ECAPA-TDNN at full size: timbral's module and SpeechBrain's.

    python benchmarks/train_step.py [--peers PYTHON] [--threads 1] [--utterances 16] [--rounds 3]

Forward, the mean square of the embeddings as the loss, backward and an Adam step on features
(B, 200, 80) of two seconds, in float32 and under bfloat16 autocast. SpeechBrain runs under the
Python given by --peers (or $TIMBRAL_PEERS), in which torch, torchaudio and speechbrain are
installed. Each is a process of its own; they alternate, and medians are compared. Denormal numbers
are flushed on both sides, because they would slow either at random.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

FRAMES = 200


def timbral_step() -> Any:
    from timbral.encoders.ecapa import EcapaConfig, EcapaEncoder
    from timbral.io.devices import tune_cpu

    tune_cpu()
    encoder = EcapaEncoder(EcapaConfig()).train()
    return encoder, encoder.embed_features


def speechbrain_step() -> Any:
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    encoder = ECAPA_TDNN(80, channels=[1024] * 4 + [3072], lin_neurons=192).train()
    return encoder, lambda features, lengths: encoder(features, lengths / features.shape[1])


def work(who: str, precision: str, threads: int, utterances: int) -> None:
    """A contender's process: for each line on standard input, take a step and print its seconds."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    encoder, embed = timbral_step() if who == "timbral" else speechbrain_step()
    optimizer = torch.optim.Adam(encoder.parameters(), 1e-4)
    features = torch.randn(utterances, FRAMES, 80)
    lengths = torch.full((utterances,), FRAMES)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            embeddings = embed(features, lengths)
        optimizer.zero_grad()
        embeddings.float().square().mean().backward()
        optimizer.step()

    step()
    print("ready", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        print(time.perf_counter() - started, flush=True)


def start(python: str, words: list[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [python, __file__, "--work", *words],
        env={**os.environ, "OMP_NUM_THREADS": words[2], "MKL_NUM_THREADS": words[2]},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        if not line:
            sys.exit(f"{words[0]}: its process ended; what is missing stands above")
    return process


def seconds(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers", default=os.environ.get("TIMBRAL_PEERS", ""))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--utterances", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        who, precision, threads, utterances = options.work
        work(who, precision, int(threads), int(utterances))
        return
    pythons = {"timbral": sys.executable} | (
        {"SpeechBrain": options.peers} if options.peers else {}
    )
    for precision in ("fp32", "bf16"):
        rest = [precision, str(options.threads), str(options.utterances)]
        running = {who: start(python, [who, *rest]) for who, python in pythons.items()}
        measured: dict[str, list[float]] = {who: [] for who in running}
        for _ in range(options.rounds):
            for who, process in running.items():
                measured[who].append(seconds(process))
        for process in running.values():
            process.kill()
            process.wait()
        middle = {who: statistics.median(values) for who, values in measured.items()}
        for who, value in middle.items():
            ratio = list(middle.values())[-1] / value
            print(f"{precision}  {who:<12}{value:7.2f} s a step  {ratio:5.2f} ×", flush=True)


if __name__ == "__main__":
    main()
