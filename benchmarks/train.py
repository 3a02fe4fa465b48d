"""Training steps per second: the whole loop with data, the loop on one batch, and the model alone.

    python benchmarks/train.py [--config NAME|FILE] [--data FOLDER] [--steps 8]

Without `--data`, the demo's voices are prepared for it. For an encoder that takes the mels of
PaddleSpeech's GE2E, the design of its loader is also measured: one file of mels for each utterance,
prepared in advance, so that the step computes none.

The variants alternate, round by round; figures are medians over the rounds. `model alone` is
forward, loss, backward and the optimizer's step, written without timbral's loop. The loop logs as
its config says, and neither validates nor saves. With `--threads 1`, processor time is counted
instead of clock time, including that of the thread that reads data.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.weights import build_encoder
from timbral.config.named import find_config
from timbral.config.schema import TrainConfig
from timbral.config.yaml import load_config
from timbral.data.batches.batch import Batch, WaveBatch
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.batches.prefetch import prefetch
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.manifest import Manifest
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.encoders.frontends import GE2E_MEL
from timbral.io.devices import resolve_precision, tune_cpu
from timbral.losses.registry import build_loss
from timbral.training.distributed import Ranks
from timbral.training.loop import fit
from timbral.training.run import Run
from timbral.training.state import TrainState
from timbral.training.trackers.base import RunInfo
from timbral.training.trackers.jsonl import JsonlTracker


def clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class UnsavedRun(Run):
    """A run that writes metrics.jsonl and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._tracker = JsonlTracker(RunInfo(folder, 0))

    def record(self, step: int, metrics: Mapping[str, float], data_wait_fraction: float) -> None:
        if metrics:
            self._tracker.scalars(step, metrics)

    def plot_batch(self, step: int, batch: Batch, embeddings: Tensor, loss: float) -> None: ...

    def save(self, state: TrainState, *, best: bool) -> None: ...


def loop(state: TrainState, batches: Iterator[Batch], steps: int) -> float:
    """Seconds of a step in the training loop, `fit`."""
    schedule = replace(state.config.schedule, steps=state.step + steps)
    state.config = replace(state.config, schedule=schedule)
    with tempfile.TemporaryDirectory() as folder:
        started = clock()
        fit(state, ([batch] for batch in batches), Ranks(), UnsavedRun(Path(folder)))
        return (clock() - started) / steps


def alone(state: TrainState, batch: WaveBatch, config: TrainConfig, steps: int) -> float:
    """Seconds of a step of the model without the loop."""
    bf16 = resolve_precision(config.trainer.precision, torch.device("cpu")) == "bf16"
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    state.encoder.train()
    started = clock()
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            embeddings = state.encoder(batch.waves, batch.lengths)
        loss = state.loss_fn(embeddings, batch.speakers)
        state.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.optimizer.max_grad_norm)
        state.optimizer.step()
    return (clock() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=find_config, default=find_config("tdnn-ge2e-small"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_cpu()
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or Path(temporary)
        if options.data is None:
            prepare(scan_corpus("folder", VOICES), data, Preprocessing())
        config, mels = load_config(options.config), Path(temporary) / "mels"
        compare(config, Store.open(data), mels, options.rounds, options.steps)


def mel_crops(store: Store, folder: Path, config: TrainConfig) -> MelCrops:
    """Crops of the same recordings from precomputed mels."""
    prepare(Manifest(store.table), folder, store.preprocessing, format="npy", workers=2)
    data = PrecomputedMels.open(folder)
    return MelCrops(data, np.arange(len(data)), config.data, seed=0)


def compare(config: TrainConfig, store: Store, mels: Path, rounds: int, steps: int) -> None:
    config = replace(config, schedule=replace(config.schedule, decay="constant"))
    torch.manual_seed(0)
    encoder = build_encoder(config.encoder)
    crops = WaveCrops(store, np.arange(len(store)), config.data, seed=0)
    loss_fn = build_loss(config.loss, encoder.embedding_dim, crops.num_speakers)
    state = TrainState.new(config, encoder, loss_fn)
    batch = crops.batch(0)
    ways: dict[str, Callable[[], float]] = {
        "with data": lambda: loop(state, prefetch(crops.batches(state.step)), steps),
        "same batch again": lambda: loop(state, itertools.repeat(batch), steps),
        "model alone": lambda: alone(state, batch, config, steps),
    }
    if encoder.frontend.config == GE2E_MEL:
        precomputed = mel_crops(store, mels, config)
        ways["with npy mels"] = lambda: loop(
            state, prefetch(precomputed.batches(state.step)), steps
        )
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            elapsed = way()
            if number:
                seconds[name].append(elapsed)
    least = statistics.median(seconds["model alone"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<18}{1 / median:7.2f} steps/s   {100 * (median / least - 1):+5.1f} %")


if __name__ == "__main__":
    main()
