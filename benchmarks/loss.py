"""GE2E, forward and backward: timbral's loss, and the loops of other projects.

    python benchmarks/loss.py [--threads 1] [--coqui PATH/TO/TTS/encoder/losses.py] [--large]

The loops are written from their descriptions: `per speaker` compares all utterances with one
speaker's centroid at a time (ddvc); `masked` does so for all but that speaker's own utterances,
selected with a numpy mask (Real-Time-Voice-Cloning). Coqui's loss is loaded from its own file
(package coqui-tts). Runs alternate in one process, and medians are shown: processor time with one
thread, clock time with more. Memory is the peak of a separate process, minus what it had before.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _memory import forget_peak, peak_megabytes
from torch import Tensor
from torch.nn import functional

from timbral.io.devices import tune_cpu
from timbral.losses.ge2e import GE2EConfig, GE2ELoss

SHAPES = ((64, 10, 256), (256, 10, 256), (1024, 10, 192))
W, B = 10.0, -5.0
Loss = Callable[[Tensor], Tensor]  # (S, U, E) -> ()


def exclusive_centroids(e: Tensor) -> Tensor:
    return functional.normalize((e.sum(1, keepdim=True) - e) / (e.shape[1] - 1), dim=2)


def per_speaker_loop(e: Tensor) -> Tensor:
    e = functional.normalize(e, dim=2)
    centroids, own = functional.normalize(e.mean(1), dim=1), exclusive_centroids(e)
    columns = []
    for k in range(len(e)):
        cosines = functional.cosine_similarity(e, centroids[k], dim=2)  # (S, U)
        itself = functional.cosine_similarity(e[k], own[k], dim=1)
        columns.append(torch.cat([cosines[:k], itself[None], cosines[k + 1 :]]))
    return cross_entropy(torch.stack(columns, dim=2))


def masked_loop(e: Tensor) -> Tensor:
    e = functional.normalize(e, dim=2)
    centroids, own = functional.normalize(e.mean(1), dim=1), exclusive_centroids(e)
    similarities = torch.zeros(*e.shape[:2], len(e))
    masks = 1 - np.eye(len(e), dtype=int)
    for k in range(len(e)):
        others = np.where(masks[k])[0]
        similarities[others, :, k] = (e[others] * centroids[k]).sum(dim=2)
        similarities[k, :, k] = (e[k] * own[k]).sum(dim=1)
    return cross_entropy(similarities)


def cross_entropy(cosines: Tensor) -> Tensor:
    own = torch.arange(len(cosines)).repeat_interleave(cosines.shape[1])
    return functional.cross_entropy(W * cosines.flatten(0, 1) + B, own)


def timbral_loss(e: Tensor) -> Tensor:
    loss: Tensor = GE2ELoss(GE2EConfig())(
        e.flatten(0, 1), torch.arange(len(e)).repeat_interleave(e.shape[1])
    )
    return loss


def coqui(path: Path) -> Loss:
    spec = importlib.util.spec_from_file_location("coqui_losses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    logging.disable(logging.INFO)
    spec.loader.exec_module(module)
    return lambda e: module.GE2ELoss(init_w=W, init_b=B, loss_method="softmax")(e)


def contenders(options: argparse.Namespace, speakers: int) -> dict[str, Loss]:
    found: dict[str, Loss] = {"timbral": timbral_loss}
    if speakers < 1024 or options.large:
        found |= {"per speaker": per_speaker_loop, "masked": masked_loop}
        if options.coqui and speakers < 1024:
            found["coqui"] = coqui(options.coqui)
    return found


def run_once(loss: Loss, e: Tensor) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    torch.autograd.backward(loss(e))
    elapsed = clock() - started
    e.grad = None
    return elapsed


def peak_memory(name: str, options: argparse.Namespace, shape: tuple[int, int, int]) -> float:
    """Peak memory in megabytes, measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, options, shape))


def _peak(name: str, options: argparse.Namespace, shape: tuple[int, int, int]) -> float:
    torch.set_num_threads(options.threads)
    run_once(timbral_loss, torch.randn(8, 3, 16, requires_grad=True))  # libraries are loaded
    e = torch.randn(shape, requires_grad=True)
    loss = contenders(options, shape[0])[name]
    forget_peak()
    before = peak_megabytes()
    run_once(loss, e)
    return peak_megabytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--coqui", type=Path, help="coqui-tts's TTS/encoder/losses.py")
    parser.add_argument("--large", action="store_true", help="the loops at 1024 speakers, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_cpu()
    for shape in SHAPES:
        losses = contenders(options, shape[0])
        e = torch.randn(shape, requires_grad=True)
        times: dict[str, list[float]] = {name: [] for name in losses}
        rounds = {64: 7, 256: 2, 1024: 1 if options.large else 5}[shape[0]]
        for number in range(rounds + 1):
            for name, loss in losses.items():
                for _ in range(3 if name == "timbral" else 1):
                    elapsed = run_once(loss, e)
                    if number:  # the first repetition warms up
                        times[name].append(elapsed)
        own = statistics.median(times["timbral"])
        print("×".join(map(str, shape)))
        for name in losses:
            median = statistics.median(times[name])
            memory = peak_memory(name, options, shape)
            print(f"  {name:<12}{1e3 * median:10.2f} ms  {median / own:7.1f} ×  {memory:8.0f} MB")


if __name__ == "__main__":
    main()
