"""The training loop and its step: forward, loss, backward, optimizer, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from timbral.data.batches.batch import Batch
from timbral.data.random_streams import Stream, random_seed
from timbral.errors import TrainingError
from timbral.scoring.metrics import batch_eer
from timbral.training.distributed import Ranks
from timbral.training.gradients import (
    Outcome,
    copy_buffers,
    gather_teacher,
    grad_cache_backward,
    restore_buffers,
    sum_gradients,
)
from timbral.training.optim import average_weights, set_train_mode
from timbral.training.run import Run
from timbral.training.state import TrainState
from timbral.training.validation import Validation

__all__ = ["MAX_SKIPPED_STEPS", "StepResult", "TimeSpent", "fit", "train_step"]

MAX_SKIPPED_STEPS = 20
"""a run that skips so many steps in a row will not recover"""


@dataclass
class TimeSpent:
    """Seconds of training time by activity, without validation."""

    total: float = 0.0
    data: float = 0.0
    """waiting for batches"""
    exchange: float = 0.0
    """communication between ranks, including waiting for the slowest"""

    @property
    def data_wait_fraction(self) -> float:
        return self.data / self.total if self.total else 0.0

    @property
    def bottleneck(self) -> str:
        """data, compute or communication: whichever took most of the time."""
        compute = self.total - self.data - self.exchange
        seconds = {"data": self.data, "compute": compute, "communication": self.exchange}
        return max(seconds, key=lambda name: seconds[name])


def fit(
    state: TrainState,
    batches: Iterator[Sequence[Batch]],
    ranks: Ranks,
    run: Run,
    validation: Validation | None = None,
) -> TimeSpent:
    """Train from `state.step` to the last step.

    For each remaining step, `batches` yields this rank's rows of the global batches whose gradients
    are averaged.
    """
    trainer, spent = state.config.trainer, TimeSpent()
    while not state.is_finished:
        started = time.monotonic()
        step_batches = [batch.to(state.device).augmented() for batch in next(batches)]
        spent.data += time.monotonic() - started

        result = train_step(state, step_batches, ranks)

        # Every rank counts the slowest one's time: all stop, validate and save at the same step.
        seconds = ranks.all_reduce_max(time.monotonic() - started)
        spent.total += seconds
        state.seconds += seconds
        last = state.is_finished

        metrics: dict[str, float] = {}
        if last or state.step % trainer.log_every == 0:
            metrics |= _step_metrics(state, result)
        is_best = False
        if validation is not None and (last or state.step % trainer.validate_every == 0):
            metrics |= _validate(state, validation, ranks, run)
            is_best = state.note_validation(metrics["val_eer"], metrics["val_threshold"])
        if state.config.schedule.decay == "plateau":
            state.plateau.note(
                {**_plateau_metrics(state, result), **metrics}, state.config.schedule
            )

        run.record(state.step, metrics, spent.data_wait_fraction)
        run.plot_batch(state.step, step_batches[-1], result.embeddings, result.loss.item())
        if last or is_best or state.step % trainer.save_every == 0:
            _check_weights(state)
            run.save(state, best=is_best)
    spent.exchange = ranks.seconds
    return spent


@dataclass(frozen=True)
class StepResult(Outcome):
    """The outcome of a step for its last global batch; the loss is the mean over its batches."""

    grad_norm: Tensor
    """() before clipping to `max_grad_norm`"""


def train_step(state: TrainState, batches: Sequence[Batch], ranks: Ranks) -> StepResult:
    """One optimizer step with the mean gradient of `batches`, which hold this rank's rows.

    If the loss or gradient is not finite, only the counters change. Raises TrainingError after
    MAX_SKIPPED_STEPS such steps in a row.
    """
    config = state.config
    rows = ranks.rows(config.data.speakers_per_batch, config.data.utterances_per_speaker)
    count = rows.num_micro_batches(config.trainer.micro_batch_size)
    set_train_mode(state.encoder, config.optimizer)
    state.loss_fn.at_step(state.step)
    buffers = copy_buffers(state.encoder)  # batch norm's statistics, in case the step is skipped
    state.optimizer.zero_grad(set_to_none=True)

    scale = 1 / len(batches)  # gradients add up over the batches: scaled, to their mean
    losses = []
    for number, batch in enumerate(batches, start=state.step * len(batches)):
        if count > 1:
            outcome = grad_cache_backward(state, batch.split(count), ranks, rows, number, scale)
        else:
            # Dropout follows from the batch and the rank, so that a resumed run draws the same.
            torch.manual_seed(
                random_seed(config.trainer.seed, Stream.DROPOUT, number, ranks.rank, 0)
            )
            embeddings = ranks.gather(state.embed(batch), rows)  # (B', E) -> (B, E)
            speakers = ranks.gather(batch.speakers, rows)  # (B,)
            teacher = gather_teacher(batch.teacher, ranks, rows)
            # (): the same on every rank
            loss = state.loss_fn.taught(embeddings, speakers, teacher)
            torch.autograd.backward(loss * scale)
            outcome = Outcome(embeddings.detach(), speakers, loss.detach())
        losses.append(outcome.loss)
    loss = torch.stack(losses).mean()
    sum_gradients(state, loss, ranks)

    for group in state.optimizer.param_groups:
        group["lr"] = state.learning_rate(state.step) * group["lr_scale"]
    grad_norm = clip_grad_norm_(state.parameters, config.optimizer.max_grad_norm)
    if bool(torch.isfinite(loss) & torch.isfinite(grad_norm)):
        state.optimizer.step()
        state.skipped_in_a_row = 0
        if state.average is not None:
            average_weights(state.average, state.encoder, config.optimizer.ema, state.step)
    else:
        restore_buffers(buffers)
        _count_skipped(state, loss)
    state.step += 1
    return StepResult(outcome.embeddings, outcome.speakers, loss, grad_norm)


def _count_skipped(state: TrainState, loss: Tensor) -> None:
    state.skipped += 1
    state.skipped_in_a_row += 1
    if state.skipped_in_a_row == MAX_SKIPPED_STEPS:
        raise _diverged(
            state.step + 1,
            f"the loss or gradient of {MAX_SKIPPED_STEPS} steps in a row is not finite (loss "
            f"{loss.item()})",
            state,
        )


def _diverged(step: int, how: str, state: TrainState) -> TrainingError:
    return TrainingError(
        f"training diverged by step {step}: {how}. The checkpoints before that are kept; try a "
        f"lower optimizer.learning_rate (it is {state.config.optimizer.learning_rate:g}) or "
        "precision fp32, in another `output` or with `force_restart`"
    )


def _check_weights(state: TrainState) -> None:
    """Raise TrainingError for non-finite weights, before they are validated or saved."""
    for name, module in state.modules().items():
        for parameter, weights in module.named_parameters():
            if not bool(torch.isfinite(weights).all()):
                raise _diverged(state.step, f"weights of {name}.{parameter} are not finite", state)


def _validate(
    state: TrainState, validation: Validation, ranks: Ranks, run: Run
) -> dict[str, float]:
    """Validate and plot on the first rank; all ranks get its metrics, on which they decide."""
    metrics = None
    _check_weights(state)
    if ranks.is_first:
        result = validation.run(state.eval_encoder)
        if result is None:
            raise _diverged(state.step, "vectors of validation speakers are not finite", state)
        run.plot_validation(state.step, result)
        metrics = result.metrics
    return ranks.broadcast_object(metrics)


def _step_metrics(state: TrainState, result: StepResult) -> dict[str, float]:
    """Metrics of the last step, without those that are not finite."""
    values = {
        "loss": result.loss.item(),
        "batch_eer": _batch_eer(result),
        "learning_rate": state.learning_rate(state.step - 1),
        "grad_norm": result.grad_norm.item(),
        **state.loss_fn.scalars(),
        "skipped_steps": state.skipped,
        "seconds": round(state.seconds, 3),
    }
    return {
        name: value for name, value in values.items() if math.isfinite(value)
    }  # as JSON requires


def _plateau_metrics(state: TrainState, result: StepResult) -> dict[str, float]:
    """The training metric that the plateau schedule watches, for every step."""
    metric = state.config.schedule.plateau_metric
    if metric == "batch_eer":
        return {"batch_eer": _batch_eer(result)}
    return {"loss": result.loss.item()} if metric == "loss" else {}


def _batch_eer(outcome: Outcome) -> float:
    """EER over all pairs of the batch; 0.5 (chance) if embeddings are not finite."""
    vectors = outcome.embeddings.float().cpu().numpy()
    if not np.isfinite(vectors).all():
        return 0.5
    return batch_eer(vectors, outcome.speakers.cpu().numpy())
