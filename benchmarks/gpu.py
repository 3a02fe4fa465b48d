"""timbral on a GPU: vectors compared with the CPU's, speed, memory, and what limits them.

    python benchmarks/gpu.py [--output gpu.json] [--minutes 8] [--only SECTION …] [--toy]

Sections: parity, throughput, files, step, memory, loop, processes. Each line is printed when it is
measured, and the JSON is written after each section, so that results are kept whatever ends the
script. Weights are random, because speed does not depend on them; recordings are those of the
shipped voices. MFU is the fraction of the card's peak multiplications (dense, by its data sheet)
that the network's own products take, by their shapes; what a backward pass computes again is not
counted. The fraction of what a large matrix product reaches on the same card is also given. --toy
uses small networks and few recordings, to try the script on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from _gpu import CROP_SECONDS, RATE, Bench, bare_step, forward_flops, some_voices, train_steps

from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.bulk.engines import Engine
from timbral.checkpoints.published import PUBLISHED
from timbral.config.schema import ScheduleConfig, TrainConfig, TrainerConfig
from timbral.data.batches.data_config import DataConfig
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Manifest
from timbral.data.prepared.prepare import prepare
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS
from timbral.inference.embedder import Embedder
from timbral.io.devices import float32_products, tune_cpu
from timbral.io.files import write_json

SECONDS = 4.0


def product(bench: Bench) -> None:
    """TFLOP/s of a large matrix product in each precision: what `of a product` refers to."""
    size = 256 if bench.toy else 8192
    for precision in bench.precisions:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        one = torch.randn(size, size, device=bench.device, dtype=dtype)
        with float32_products(precision, bench.device), torch.inference_mode():
            seconds = bench.seconds(lambda one=one: one @ one, 10)  # type: ignore[misc]
        bench.products[precision] = 2 * size**3 / seconds / 1e12


def parity(bench: Bench) -> None:
    """Vectors of every encoder, compared with those of the CPU in fp32."""
    waves = some_voices(2 if bench.toy else 24)
    for name in ENCODERS:
        network = bench.network(bench.config(name))
        with torch.random.fork_rng():
            exact = Embedder(copy.deepcopy(network)).encode_preprocessed(waves)
        for precision in bench.precisions:
            with bench.row("parity", encoder=name, precision=precision) as row:
                there = Embedder(copy.deepcopy(network), device=bench.device, precision=precision)
                vectors = there.encode_preprocessed(waves)
                alone = there.encode_preprocessed(waves[:1])
                row["least cosine"] = float(np.einsum("ne,ne->n", vectors, exact).min())
                row["largest difference"] = float(np.abs(vectors - exact).max())
                row["alone or in a batch"] = float(np.abs(vectors[:1] - alone).max())


def throughput(bench: Bench) -> None:
    """Utterances per second from waves in memory: network, features and copies to the device."""
    samples = int(SECONDS * RATE)
    count = 2 if bench.toy else 4096
    waves = list(np.resize(np.concatenate(some_voices(4)), (count, samples)))
    for name in ("campplus", "ecapa", "resnet", "wavlm"):
        if name not in ENCODERS:
            continue
        network = bench.network(bench.config(name))
        flops = forward_flops(network, 1, samples)
        for precision in bench.precisions:
            with bench.row("throughput", encoder=name, precision=precision) as row:
                there = Embedder(copy.deepcopy(network), device=bench.device, precision=precision)
                there.encode_preprocessed(waves[:2])
                used = waves[: count // 8] if precision == "fp32" and not bench.toy else waves
                seconds = bench.seconds(lambda: there.encode_preprocessed(used), 1)  # noqa: B023
                row["utterances/s"] = len(used) / seconds
                row["× real time"] = len(used) * SECONDS / seconds
                row |= bench.of_peak(precision, flops * len(used), seconds)


def files(bench: Bench) -> None:
    """From files to vectors, in one process and in several: whether the GPU waits for decoding."""
    count = 4 if bench.toy else 4000
    waves = [wave[: int(SECONDS * RATE)] for wave in some_voices(8)]
    for suffix in ("wav", "flac"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "corpus"
            for number in range(count):
                path = root / f"speaker-{number % 50}" / f"{number}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, waves[number % 8], RATE, "PCM_16")
            for workers in (1,) if bench.toy else (1, 4, 8):
                with bench.row("files", suffix=suffix, encoder="campplus", workers=workers) as row:
                    network = bench.network(bench.config("campplus"))
                    there = Embedder(network, device=bench.device, precision=bench.fast)
                    there.encode_preprocessed(waves[:2])
                    started = time.perf_counter()
                    engine = Engine(workers=workers)
                    api.embed(there, root, Path(folder) / f"vectors-{workers}", engine=engine)
                    row["utterances/s"] = count / (time.perf_counter() - started)


def step(bench: Bench) -> None:
    """A training step of WavLM-large with GE2E, 64 speakers × 10 utterances of two seconds."""
    speakers, utterances = (2, 2) if bench.toy else (64, 10)
    config = ENCODERS["wavlm"].tiny_config if bench.toy else PUBLISHED["wavlm-large"].encoder
    count, samples = speakers * utterances, int(CROP_SECONDS * RATE)
    flops = 3 * forward_flops(bench.network(config), 1, samples) * count
    micro = 2 if bench.toy else 160
    for precision, compile in ((bench.fast, False), (bench.fast, True), ("tf32", False)):
        if (bench.toy and compile) or precision not in bench.precisions:
            continue
        with bench.row("step", precision=precision, compile=compile, micro_batch=micro) as row:
            row |= train_steps(bench, config, precision, compile, micro, speakers, utterances)
            row |= bench.of_peak(precision, flops, row["ms"] / 1000)


def memory(bench: Bench) -> None:
    """Peak memory and time of a step, whole and in micro-batches."""
    speakers, utterances = (2, 2) if bench.toy else (64, 10)
    for name in ("ecapa", "wavlm"):
        for micro in (None, 2) if bench.toy else (None, 320, 160, 64):
            with bench.row("memory", encoder=name, micro_batch=micro or "whole") as row:
                config = bench.config(name)
                row |= train_steps(bench, config, bench.fast, False, micro, speakers, utterances)


def loop(bench: Bench) -> None:
    """The loop's time besides forward, backward and optimizer, and whether it waits for batches."""
    speakers, utterances = (2, 2) if bench.toy else (64, 10)
    for name in ("lstm", "ecapa"):
        with bench.row("loop", encoder=name, speakers=speakers, utterances=utterances) as row:
            config = bench.config(name)
            found = train_steps(bench, config, bench.fast, False, None, speakers, utterances)
            row["ms"] = found["ms"]
            row["bare ms"] = bare_step(bench, config, speakers, utterances)
    with (
        bench.row("loop", encoder="tdnn", data="prepared voices, augmented") as row,
        tempfile.TemporaryDirectory() as folder,
    ):
        store, voices = Path(folder) / "store", scan_corpus("folder", VOICES)
        prepare(Manifest.of(voices[::15] if bench.toy else voices), store, Preprocessing())
        steps = 2 if bench.toy else 200
        train = TrainConfig(
            encoder=bench.config("tdnn"),
            data=DataConfig(4 if bench.toy else 32, 2 if bench.toy else 10),
            schedule=ScheduleConfig(steps=steps),
            trainer=TrainerConfig(precision="auto", save_every=steps),
        )
        device = str(bench.device)
        done = api.train(train, store, Path(folder) / "run", validation_speakers=0, device=device)
        row["ms"] = 1000 * done.seconds / steps
        row["most time goes to"] = done.bottleneck


def processes(bench: Bench) -> None:
    """Two processes on one GPU: whether NCCL allows it (gloo does, on CPUs)."""
    backend = "nccl" if bench.device.type == "cuda" else "gloo"
    with bench.row("processes", backend=backend, count=2) as row:
        context = multiprocessing.get_context("spawn")
        answers = context.SimpleQueue()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = (port, backend, answers)
        pair = [context.Process(target=_sum_ranks, args=(rank, *words)) for rank in range(2)]
        for process in pair:
            process.start()
        for process in pair:
            process.join(90)
            process.kill()
        row["outcome"] = "no answer" if answers.empty() else answers.get()


def _sum_ranks(rank: int, port: int, backend: str, answers: Any) -> None:
    try:
        torch.distributed.init_process_group(
            backend,
            init_method=f"tcp://127.0.0.1:{port}",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=60),
        )
        device = torch.device("cuda", 0) if backend == "nccl" else torch.device("cpu")
        value = torch.ones(1000, device=device)
        torch.distributed.all_reduce(value)
        answers.put("they sum their gradients" if value[0] == 2 else f"wrong sum {value[0]}")
    except Exception as error:
        answers.put(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "parity": parity,
    "throughput": throughput,
    "step": step,
    "memory": memory,
    "loop": loop,
    "files": files,
    "processes": processes,
}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--toy", action="store_true")
    options = parser.parse_args(words)
    device = torch.device(options.device)
    if device.type != "cuda" and not options.toy:
        parser.error("there is no GPU; --toy tries the script without one")
    tune_cpu()
    bench = Bench(device, options.toy, time.monotonic() + 60 * options.minutes)
    product(bench)
    facts = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "toy": options.toy,
        "TFLOP/s of a product": bench.products,
    }
    print(json.dumps(facts), flush=True)
    for name in options.only:
        SECTIONS[name](bench)
        write_json(options.output, {**facts, "rows": bench.rows})


if __name__ == "__main__":
    main()
