"""The training loop."""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from timbral.config import ScheduleConfig
from timbral.data.dataset import Batch
from timbral.errors import TrainingError
from timbral.metrics import batch_eer
from timbral.training.optim import lr_at
from timbral.training.run import RunFolder, TrainState
from timbral.training.tracking import Tracker

__all__ = ["fit", "resolve_precision", "train_step", "tune_cpu"]

Validate = Callable[[], dict[str, float]]
Report = Callable[[int, dict[str, float]], None]
Show = Callable[[Batch, Tensor], None]


def fit(
    state: TrainState,
    batches: Iterator[Batch],
    schedule: ScheduleConfig,
    run: RunFolder,
    trackers: list[Tracker],
    validate: Validate | None = None,
    report: Report = lambda step, values: None,
    show: Show = lambda batch, embeddings: None,
) -> Path:
    """Train from `state.step` to the last step; returns the best checkpoint.

    `validate` returns scalars with `val_eer`, by which the best checkpoint is chosen;
    `report` shows the numbers to a person, `show` the batch and its embeddings to trackers.
    """
    device = next(state.encoder.parameters()).device
    bf16 = resolve_precision(schedule.precision, device) == "bf16"
    time_limit = math.inf if schedule.max_minutes is None else 60 * schedule.max_minutes

    while state.step < schedule.steps and state.seconds < time_limit:
        started = time.monotonic()
        batch = next(batches).to(device).augmented()  # S speakers × U utterances
        result = train_step(state, batch, schedule, bf16=bf16)
        state.seconds += time.monotonic() - started

        at_end = state.step == schedule.steps or state.seconds >= time_limit
        values: dict[str, float] = {}
        if at_end or state.step % schedule.log_every == 0:
            values = _scalars(state, batch, result)
        better = False
        if validate and (at_end or state.step % schedule.validate_every == 0):
            values |= validate()
            better = state.note_validation(values["val_eer"], values["val_threshold"])
        if values:
            report(state.step, values)
            for tracker in trackers:
                tracker.log(state.step, values)
        show(batch, result.embeddings)
        if better or at_end or state.step % schedule.save_every == 0:
            run.save(state, best=better)
    best = run.best()
    assert best is not None, "the last step saves a checkpoint"
    return best


@dataclass(frozen=True)
class StepResult:
    """Embeddings (B, E), loss () and gradient norm () of one step, still on its device."""

    embeddings: Tensor
    loss: Tensor
    grad_norm: Tensor


def train_step(
    state: TrainState, batch: Batch, schedule: ScheduleConfig, *, bf16: bool
) -> StepResult:
    """One step of the optimizer; TrainingError when the gradient is not finite."""
    state.encoder.train()
    for group in state.optimizer.param_groups:
        group["lr"] = lr_at(state.step, schedule)
    with torch.autocast(batch.waves.device.type, torch.bfloat16, enabled=bf16):
        features, frame_lengths = state.encoder.features(batch.waves, batch.lengths)
        features = batch.masked(features, frame_lengths)  # (B, F, M)
        embeddings = state.encoder.embed_features(features, frame_lengths)  # (B, E)
        loss = state.loss_fn(embeddings, batch.speakers)  # (B, E), (B,) -> ()
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    grad_norm = clip_grad_norm_(parameters, schedule.max_grad_norm)
    if not torch.isfinite(grad_norm):
        raise TrainingError(
            f"the gradient of step {state.step + 1} is not finite (loss {loss.item()}); the last "
            "checkpoint is kept: try a lower schedule.learning_rate or precision fp32, in another "
            "--output or with --force-restart"
        )
    state.optimizer.step()
    state.step += 1
    return StepResult(embeddings.detach(), loss.detach(), grad_norm)


def _scalars(state: TrainState, batch: Batch, result: StepResult) -> dict[str, float]:
    vectors = result.embeddings.float().cpu().numpy()
    return {
        "loss": result.loss.item(),
        "batch_eer": batch_eer(vectors, batch.speakers.cpu().numpy()),
        "learning_rate": state.optimizer.param_groups[0]["lr"],
        "grad_norm": result.grad_norm.item(),
        "w": state.loss_fn.similarity_weight.item(),
        "b": state.loss_fn.similarity_bias.item(),
        "seconds": round(state.seconds, 3),
    }


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` is bf16 where the device multiplies bf16 matrices in hardware, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and probe() else "fp32"


def tune_cpu() -> None:
    """Let this process train fast on a CPU.

    Tiny gradients of a new LSTM are denormal numbers, which processors handle slowly: they
    become zero. And glibc gives every large tensor back to the kernel, which then clears the
    same pages at the next step: it is told to keep them (nearly twice as fast here).
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h: M_TRIM_THRESHOLD…
            mallopt(mmap_max, 0)
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(top_pad, 2**28)
