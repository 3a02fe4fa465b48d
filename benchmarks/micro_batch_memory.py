"""Peak memory of one training step by batch size, whole and in micro-batches.

    python benchmarks/micro_batch_memory.py [--encoder lstm] [--micro-batch-size 64]

Each line is measured in a process of its own: its peak memory (RSS) beyond model and batch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import torch
from _memory import forget_peak, peak_megabytes

from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig, TrainerConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.encoders.registry import ENCODERS
from timbral.losses.ge2e import GE2EConfig
from timbral.losses.registry import build_loss
from timbral.training.distributed import Ranks
from timbral.training.loop import train_step
from timbral.training.state import TrainState

UTTERANCES, SAMPLES = 10, 16_000


def peak(
    encoder_name: str, speakers: int, micro_batch_size: int | None, threads: int
) -> tuple[float, float]:
    """Peak memory in megabytes, and the seconds of one step."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    config = TrainConfig(
        encoder=ENCODERS[encoder_name].config_type(),
        data=DataConfig(speakers, UTTERANCES),
        trainer=TrainerConfig(micro_batch_size=micro_batch_size),
    )
    encoder = build_encoder(config.encoder)
    loss_fn = build_loss(GE2EConfig(), encoder.embedding_dim, speakers)
    state = TrainState.new(config, encoder, loss_fn)
    count = speakers * UTTERANCES
    batch = WaveBatch(
        waves=0.1 * torch.randn(count, SAMPLES),
        lengths=torch.full((count,), SAMPLES),
        speakers=torch.arange(speakers).repeat_interleave(UTTERANCES),
        rows=torch.arange(count),
    )
    forget_peak()
    before = peak_megabytes()
    started = time.monotonic()
    train_step(state, [batch], Ranks())
    seconds = time.monotonic() - started
    return peak_megabytes() - before, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="lstm", choices=sorted(ENCODERS))
    parser.add_argument("--micro-batch-size", type=int, default=64)
    parser.add_argument("--speakers", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for speakers in options.speakers:
        for size in (None, options.micro_batch_size):
            words = (options.encoder, speakers, size, options.threads)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                megabytes, seconds = pool.apply(peak, words)
            how = "whole" if size is None else f"by {size}"
            print(
                f"{speakers:4} × {UTTERANCES}  {how:<14}{megabytes:8.0f} MB  {seconds:6.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
