"""The timing, the table and the training step that benchmarks/gpu.py uses."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from timbral.audio.decode import Wave
from timbral.audio.preprocessing import load
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import OptimizerConfig, TrainConfig, TrainerConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.demo.shipped import VOICES
from timbral.encoders.base import EncoderConfig, SpeakerEncoder
from timbral.encoders.registry import ENCODERS
from timbral.io.devices import PRECISIONS, float32_products, has_bf16
from timbral.losses.ge2e import GE2EConfig
from timbral.losses.registry import build_loss
from timbral.training.distributed import Ranks
from timbral.training.loop import train_step
from timbral.training.state import TrainState

RATE, CROP_SECONDS = 16_000, 2.0
PEAKS = {  # TFLOP/s of dense products by the data sheets: fp32, tf32, bf16
    "H100 PCIe": (51.2, 378, 756),
    "H100 NVL": (60, 417, 835),
    "H100": (66.9, 494.7, 989.4),
    "H200": (66.9, 494.7, 989.4),
    "A100": (19.5, 156, 312),
    "L40S": (91.6, 183, 362),
    "L4": (30.3, 60, 121),
}


@dataclass
class Bench:
    """What is measured, where, and for how long."""

    device: torch.device
    toy: bool
    until: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    products: dict[str, float] = field(default_factory=dict)
    """TFLOP/s of a large matrix product, by precision"""

    @property
    def precisions(self) -> list[str]:
        on_gpu = self.device.type == "cuda"
        computed = {"fp32": True, "tf32": on_gpu, "bf16": on_gpu or has_bf16()}
        return [precision for precision in PRECISIONS if computed.get(precision)]

    @property
    def fast(self) -> str:
        """The last of these precisions: bf16, except on old processors."""
        return self.precisions[-1]

    def config(self, name: str) -> EncoderConfig:
        encoder = ENCODERS[name]
        config: EncoderConfig = encoder.tiny_config if self.toy else encoder.config_type()
        return config

    def network(self, config: EncoderConfig) -> SpeakerEncoder:
        torch.manual_seed(0)
        return build_encoder(config).eval()

    def of_peak(self, precision: str, flops: float, seconds: float) -> dict[str, float]:
        """TFLOP/s, as a number and as fractions of a large product's and of the data sheet's."""
        achieved = flops / seconds / 1e12
        found = {"TFLOP/s": achieved, "of a product": achieved / self.products[precision]}
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
            known = [peak for key, peak in PEAKS.items() if key in name]
            if known:
                found["MFU"] = achieved / known[0][PRECISIONS.index(precision)]
        return found

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        """The median duration of some runs, after one that is not counted."""
        work()
        taken = []
        for _ in range(1 if self.toy else repeats):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    @contextmanager
    def row(self, section: str, **what: object) -> Iterator[dict[str, Any]]:
        """A line of the table; if its measurement fails, the line says why."""
        found: dict[str, Any] = {"section": section, **what}
        try:
            if time.monotonic() > self.until:
                raise TimeoutError("no time left")
            yield found
        except Exception as error:
            found["not measured"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            if self.toy:
                traceback.print_exc()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.rows.append(found)
        print("  ".join(f"{key} {_short(value)}" for key, value in found.items()), flush=True)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def train_steps(
    bench: Bench,
    config: EncoderConfig,
    precision: str,
    compile: bool,
    micro: int | None,
    speakers: int,
    utterances: int,
) -> dict[str, float]:
    """Milliseconds of one of timbral's training steps, and its peak memory."""
    train = TrainConfig(
        encoder=config,
        data=DataConfig(speakers, utterances),
        trainer=TrainerConfig(precision=precision, compile=compile, micro_batch_size=micro),
    )
    encoder = build_encoder(config)
    loss_fn = build_loss(GE2EConfig(), encoder.embedding_dim, speakers)
    state = TrainState.new(train, encoder, loss_fn, bench.device)
    batch = _batch(bench, speakers, utterances)
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    with float32_products(precision, bench.device):
        seconds = bench.seconds(lambda: train_step(state, [batch], Ranks()))
    found = {"ms": 1000 * seconds}
    if bench.device.type == "cuda":
        found["peak GB"] = torch.cuda.max_memory_allocated(bench.device) / 1e9
    return found


def bare_step(bench: Bench, config: EncoderConfig, speakers: int, utterances: int) -> float:
    """Milliseconds of the same step, written with torch's own calls only."""
    encoder = build_encoder(config).to(bench.device).train()
    loss_fn = build_loss(GE2EConfig(), encoder.embedding_dim, speakers).to(bench.device)
    parameters = [*encoder.parameters(), *loss_fn.parameters()]
    optimizer = torch.optim.Adam(parameters, OptimizerConfig().learning_rate)
    batch = _batch(bench, speakers, utterances)

    def work() -> None:
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=bench.fast == "bf16"):
            embeddings = encoder.embed_features(*batch.features(encoder))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_fn(embeddings, batch.speakers))
        optimizer.step()

    return 1000 * bench.seconds(work)


def _batch(bench: Bench, speakers: int, utterances: int) -> WaveBatch:
    count, samples = speakers * utterances, int(CROP_SECONDS * RATE)
    waves = np.resize(np.concatenate(some_voices(4)), (count, samples))
    return WaveBatch(
        waves=torch.from_numpy(waves),
        lengths=torch.full((count,), samples),
        speakers=torch.arange(speakers).repeat_interleave(utterances),
        rows=torch.arange(count),
    ).to(bench.device)


def forward_flops(network: SpeakerEncoder, count: int, samples: int) -> float:
    """Number of multiplications and additions in one pass, from the shapes of its products."""
    waves, lengths = torch.zeros(count, samples), torch.full((count,), samples)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.embed_features(*network.features(waves, lengths))
    return float(counter.get_total_flops())


def some_voices(count: int) -> list[Wave]:
    files = sorted(VOICES.glob("*/*.ogg"))
    return [load(path) for path in files[:: max(1, len(files) // count)][:count]]
