"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from timbral.config.schema import ScheduleConfig, TrainConfig
from timbral.data.batches.batch import Batch
from timbral.data.streams import Stream
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import TrainingError
from timbral.io.devices import resolve_precision
from timbral.io.types import StepProgress
from timbral.scoring.metrics import batch_eer
from timbral.training.distributed import Share, Workers
from timbral.training.gradients import (
    Encode,
    Outcome,
    copy_buffers,
    restore_buffers,
    whole_batch_backward,
)
from timbral.training.optim import average_weights, lr_at, set_train_mode
from timbral.training.run import RunFolder
from timbral.training.state import TrainState
from timbral.training.trackers.registry import Tracker

__all__ = ["Seconds", "Show", "Validate", "fit", "make_encode", "train_step"]

Validate = Callable[[], dict[str, float]]
Show = Callable[[Batch, Tensor, float], None]

MOST_SKIPPED = 20  # a run that skips so many steps in a row will not recover


@dataclass
class Seconds:
    """Where the time of a training went; validation is not counted."""

    total: float = 0.0
    data: float = 0.0
    """waiting for batches"""
    exchange: float = 0.0
    """between processes, waiting for the slowest included"""

    @property
    def bottleneck(self) -> str:
        """What took most of it."""
        compute = self.total - self.data - self.exchange
        spent = {"data": self.data, "compute": compute, "communication": self.exchange}
        return max(spent, key=lambda name: spent[name])


def fit(
    state: TrainState,
    batches: Iterator[Batch],
    config: TrainConfig,
    run: RunFolder,
    trackers: Sequence[Tracker] = (),
    workers: Workers | None = None,
    validate: Validate | None = None,
    report: StepProgress = lambda step, values: None,
    show: Show = lambda batch, embeddings, loss: None,
) -> Seconds:
    """Train from `state.step` to the last step.

    `batches` holds this process's rows of each global batch, as many as are accumulated, from
    the first that `state.step` has not used. `validate` returns scalars with `val_eer`, by which
    the best checkpoint is chosen; `report` gets the numbers, `show` rows, embeddings and loss.
    """
    workers = workers or Workers()
    schedule, encode = config.schedule, make_encode(state.encoder, config)
    accumulated = config.trainer.gradient_accumulation_steps
    share = workers.share(config.data.speakers_per_batch, config.data.utterances_per_speaker)
    time_limit = math.inf if schedule.max_minutes is None else 60 * schedule.max_minutes
    device, seconds = next(state.encoder.parameters()).device, Seconds()

    while state.step < schedule.steps and state.seconds < time_limit:
        started = time.monotonic()
        taken = [next(batches).to(device).augmented() for _ in range(accumulated)]
        seconds.data += time.monotonic() - started
        result = train_step(state, taken, config, workers, share, encode)
        spent = workers.longest(time.monotonic() - started)
        state.seconds += spent
        seconds.total += spent

        at_end = state.step == schedule.steps or state.seconds >= time_limit
        values = _scalars(state, result, config, at_end=at_end)
        better = False
        if validate and (at_end or state.step % config.trainer.validate_every == 0):
            values |= workers.from_first(validate)
            better = state.note_validation(values["val_eer"], values["val_threshold"])
        if schedule.decay == "plateau":
            state.plateau.note({**_followed(result, schedule), **values}, schedule)
        if values:
            report(state.step, {**values, "data_wait_fraction": seconds.data / seconds.total})
            for tracker in trackers:
                tracker.log(state.step, values)
        show(taken[-1], result.outcome.embeddings[share.rows], result.outcome.loss.item())
        if workers.is_first and (better or at_end or state.step % config.trainer.save_every == 0):
            run.save(state, best=better)
    seconds.exchange = workers.seconds
    return seconds


@dataclass(frozen=True)
class StepResult:
    """What came of the global batch, and the norm () of its gradient."""

    outcome: Outcome
    grad_norm: Tensor


def train_step(
    state: TrainState,
    batches: Sequence[Batch],
    config: TrainConfig,
    workers: Workers,
    share: Share,
    encode: Encode,
) -> StepResult:
    """One step of the optimizer, skipped when its loss or gradient is not finite.

    The gradient is the mean of those of `batches`. Raises TrainingError after MOST_SKIPPED skipped
    steps in a row.
    """
    set_train_mode(state.encoder, config.optimizer)
    state.loss_fn.at_step(state.step)
    saved = copy_buffers(state.encoder)
    outcome = _backward(state, batches, config, workers, share, encode)
    rate = _learning_rate(state.step, state, config)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["share"]
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    grad_norm = clip_grad_norm_(parameters, config.optimizer.max_grad_norm)
    if bool(torch.isfinite(outcome.loss) & torch.isfinite(grad_norm)):
        state.optimizer.step()
        state.skipped_in_a_row = 0
        if state.average is not None:
            average_weights(state.average, state.encoder, config.optimizer.ema, state.step)
    else:
        restore_buffers(saved)
        _skip(state, outcome.loss)
    state.step += 1
    return StepResult(outcome, grad_norm)


def _backward(
    state: TrainState,
    batches: Sequence[Batch],
    config: TrainConfig,
    workers: Workers,
    share: Share,
    encode: Encode,
) -> Outcome:
    """Leave the mean gradient of the batches; returns the last one's outcome and the mean loss."""
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    sums: dict[nn.Parameter, Tensor] = {}
    losses: list[Tensor] = []
    for number, batch in enumerate(batches, start=state.step * len(batches)):
        state.optimizer.zero_grad(set_to_none=True)
        outcome = whole_batch_backward(
            encode,
            state.encoder,
            state.loss_fn,
            batch,
            workers,
            share,
            chunk=config.trainer.micro_batch_size,
            seed=(config.trainer.seed, Stream.DROPOUT, number),
        )
        losses.append(outcome.loss)
        if len(batches) > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    share_of_it = parameter.grad / len(batches)
                    sums[parameter] = sums.get(parameter, 0.0) + share_of_it
    for parameter, total in sums.items():
        parameter.grad = total
    return replace(outcome, loss=torch.stack(losses).mean())


def _skip(state: TrainState, loss: Tensor) -> None:
    state.skipped += 1
    state.skipped_in_a_row += 1
    if state.skipped_in_a_row == MOST_SKIPPED:
        raise TrainingError(
            f"the loss or gradient of {MOST_SKIPPED} steps in a row, until step {state.step + 1}, "
            f"is not finite (loss {loss.item()}); the last checkpoint is kept: try a lower "
            "optimizer.learning_rate or precision fp32, in another --output or with --force-restart"
        )


def make_encode(encoder: SpeakerEncoder, config: TrainConfig) -> Encode:
    """The function from a batch to embeddings (B, E): precision and compilation applied."""
    device = next(encoder.parameters()).device
    bf16 = resolve_precision(config.trainer.precision, device) == "bf16"
    backbone = encoder.embed_features
    backbone = torch.compile(backbone) if config.trainer.compile else backbone

    def encode(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            features, frame_lengths = batch.features(encoder)  # (B, F, M), (B,)
            embeddings: Tensor = backbone(features, frame_lengths)  # (B, E)
            return embeddings

    return encode


def _scalars(
    state: TrainState, result: StepResult, config: TrainConfig, *, at_end: bool
) -> dict[str, float]:
    if not at_end and state.step % config.trainer.log_every:
        return {}
    values = {
        "loss": result.outcome.loss.item(),
        "batch_eer": _batch_eer(result.outcome),
        "learning_rate": _learning_rate(state.step - 1, state, config),
        "grad_norm": result.grad_norm.item(),
        **state.loss_fn.scalars(),
        "skipped_steps": state.skipped,
        "seconds": round(state.seconds, 3),
    }
    return {
        name: value for name, value in values.items() if math.isfinite(value)
    }  # JSON has no NaN


def _learning_rate(step: int, state: TrainState, config: TrainConfig) -> float:
    rate = lr_at(step, config.optimizer.learning_rate, config.schedule)
    return rate * state.plateau.factor


def _followed(result: StepResult, schedule: ScheduleConfig) -> dict[str, float]:
    """The training numbers that a plateau is looked for in, of every step."""
    if schedule.plateau_metric == "batch_eer":
        return {"batch_eer": _batch_eer(result.outcome)}
    return {"loss": result.outcome.loss.item()} if schedule.plateau_metric == "loss" else {}


def _batch_eer(outcome: Outcome) -> float:
    """Over all pairs of the batch; 0.5 (chance) where embeddings are not finite."""
    vectors = outcome.embeddings.float().cpu().numpy()
    if not np.isfinite(vectors).all():
        return 0.5
    return batch_eer(vectors, outcome.speakers.cpu().numpy())
