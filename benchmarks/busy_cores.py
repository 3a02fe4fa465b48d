"""What torch's threads cost on cores that other programs use, with and without timbral.

    python benchmarks/busy_cores.py [--neighbors 2] [--seconds 10] [--rounds 3]

Threads of GNU's OpenMP, which torch for Linux includes, wait for each other in a loop of 300,000
rounds. The core that runs this loop is not available to the thread that is waited for. The command
`timbral` sets fewer rounds (GOMP_SPINCOUNT, `timbral.io.cores.SPIN_COUNT`). `encode` embeds clips
of 4 s one after the other with the shipped encoder; `train` runs steps of `lstm-ge2e` with 64 crops
of 1.6 s. A neighbor is an endless loop.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from timbral.io.cores import SPIN_COUNT, usable_cores

NEIGHBOR = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def work(name: str, seconds: float) -> None:
    """Print how many seconds, and how many of a processor, one piece of work takes."""
    import numpy as np
    import torch

    import timbral
    from timbral.checkpoints.weights import build_encoder

    rng = np.random.default_rng(0)
    if name == "encode":
        embedder = timbral.load_encoder()
        clip = (0.05 * rng.standard_normal(64_000)).astype(np.float32)

        def piece() -> None:
            embedder.encode(clip)
    else:
        network = build_encoder(timbral.load_config("lstm-ge2e").encoder).train()
        optimizer = torch.optim.SGD(network.parameters(), 0.01)
        crops = torch.from_numpy((0.05 * rng.standard_normal((64, 25_600))).astype(np.float32))
        lengths = torch.full((64,), 25_600)

        def piece() -> None:
            optimizer.zero_grad()
            network(crops, lengths).sum().backward()
            optimizer.step()

    piece()
    started, used, pieces = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        piece()
        pieces += 1
    print((time.perf_counter() - started) / pieces, (time.process_time() - used) / pieces)


def measure(name: str, seconds: float, spin_count: str | None) -> tuple[float, float]:
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
    }
    if spin_count:
        environment["GOMP_SPINCOUNT"] = spin_count
    command = [sys.executable, __file__, "--work", name, "--seconds", str(seconds)]
    answer = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    wall, processor = answer.stdout.split()
    return float(wall), float(processor)


def compare(name: str, neighbors: int, seconds: float, rounds: int) -> None:
    running = [subprocess.Popen([sys.executable, "-c", NEIGHBOR]) for _ in range(neighbors)]
    try:
        times = defaultdict(list)
        for _ in range(rounds):
            for setting in (None, SPIN_COUNT):
                times[setting].append(measure(name, seconds, setting))
    finally:
        for process in running:
            process.kill()
            process.wait()
    wall, processor = (
        {key: statistics.median(pair[i] for pair in pairs) for key, pairs in times.items()}
        for i in (0, 1)
    )
    print(
        f"{name:7} {neighbors:9} {wall[None]:9.3f} {wall[SPIN_COUNT]:9.3f} "
        f"{wall[None] / wall[SPIN_COUNT]:6.2f} {processor[None]:14.3f} {processor[SPIN_COUNT]:9.3f}"
        f" {processor[None] / processor[SPIN_COUNT]:6.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neighbors", type=int, nargs="+", default=[0, usable_cores()])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=("encode", "train"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.seconds)
        return
    print(
        f"{usable_cores()} cores; seconds, then processor seconds, of one piece of work\n"
        "work    neighbors  as it is  timbral's ratio       as it is timbral's  ratio"
    )
    for name in ("encode", "train"):
        for neighbors in args.neighbors:
            compare(name, neighbors, args.seconds, args.rounds)


if __name__ == "__main__":
    main()
