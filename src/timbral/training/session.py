"""One training run in this process, which may be one of several.

See also `data` (batches), `state` (everything that a step changes), `run` (output) and `loop`
(forward, loss, backward, step).
"""

from __future__ import annotations

from functools import partial

import torch

from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import build_encoder, load_weights
from timbral.config.yaml import name_of
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.contract import refuse_broken
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError
from timbral.io.devices import check_precision, pick_device, resolve_precision
from timbral.io.types import StepProgress
from timbral.losses.base import SpeakerLoss
from timbral.losses.registry import build_loss
from timbral.plots import projection
from timbral.training.chosen_weights import StartingWeights, choose_weights
from timbral.training.data import TrainingData
from timbral.training.distributed import Ranks, joined, sync_batch_norm
from timbral.training.kept_classifier import keep_classifier
from timbral.training.loop import fit
from timbral.training.old_voices import WatchedValidation
from timbral.training.process import process_left_as_found
from timbral.training.run import Run
from timbral.training.share_choice import ShareChoice
from timbral.training.state import TrainState
from timbral.training.teacher import Teacher
from timbral.training.trackers.registry import check_trackers
from timbral.training.train_job import TrainJob, TrainSummary

__all__ = ["run_job"]


def run_job(job: TrainJob, progress: StepProgress) -> TrainSummary:
    """Train, or resume the run in the run folder.

    The job is checked completely before its output is changed.
    """
    device = pick_device(job.options.device or "auto")
    precision = resolve_precision(job.config.trainer.precision, device)
    check_precision(precision, device)
    with process_left_as_found(device, precision):
        return _run_job(job, progress, device, precision)


def _run_job(
    job: TrainJob, progress: StepProgress, device: torch.device, precision: str
) -> TrainSummary:
    config = job.config
    check_trackers(job.options.trackers)
    if config.tracking.draws:
        projection.check_installed()

    torch.manual_seed(config.trainer.seed)  # the initial weights follow from the seed
    encoder = build_encoder(config.encoder)
    if not type(encoder).__module__.startswith("timbral."):
        refuse_broken(encoder, encoder.name)
    initial = None if job.options.init is None else resolve(job.options.init)
    start = None if initial is None else _begin(job, encoder, initial)
    teacher = _load_teacher(job, device)
    data = TrainingData.open(job, encoder, precision, initial, teacher)
    loss_fn = build_loss(config.loss, encoder.embedding_dim, data.source.num_speakers)
    if initial is not None and job.options.keep_classifier:
        keep_classifier(loss_fn, initial, data)
    _check_teacher(loss_fn, teacher)
    state = TrainState.new(config, encoder, loss_fn, device)

    with joined(device) as ranks:
        rows = ranks.rows(config.data.speakers_per_batch, config.data.utterances_per_speaker).rows
        sync_batch_norm(encoder, ranks)
        with Run(job, data, ranks, progress) as run:
            run.resume(state)
            if teacher is not None:
                takes_crops = config.data.teacher_input == "crops"
                data = data.taught(teacher, takes_crops, ranks, run.note_teacher)
            batches = data.batches(state.step, rows)
            spent = fit(state, batches, ranks, run, data.validation)
            run.done(state.step, spent.bottleneck)
            choice = _choose(start, state, data, ranks, run)
            # The others may be here while the first one still writes the last checkpoint.
            chosen = ranks.broadcast_object(run.folder.chosen() if ranks.is_first else None)

    return TrainSummary(
        checkpoint=chosen,
        step=state.step,
        seconds=state.seconds,
        validation_eer=state.best_score,
        resumed_from=run.first_step,
        previous_run=run.previous,
        num_too_short=data.too_short,
        num_skipped_steps=state.skipped,
        bottleneck=spent.bottleneck,
        unreadable_augmentation=data.augmenter.failures,
        share_choice=choice,
    )


def _begin(job: TrainJob, encoder: SpeakerEncoder, initial: Checkpoint) -> StartingWeights | None:
    """Load the encoder's initial weights; returns a copy of them if they are needed at the end."""
    name = initial.name or str(job.options.init)
    try:
        load_weights(encoder, initial)
    except CheckpointError as error:
        wanted, there = (
            name_of(ENCODERS, config.encoder) for config in (job.config, initial.config)
        )
        if wanted == there:
            raise
        raise CheckpointError(
            f"`init` {name} has the encoder {there}, but this config has {wanted}; use a config "
            f"with {there}: one that `timbral configs` lists, or this one with "
            f"`--opts encoder {there}`"
        ) from error
    return StartingWeights.of(encoder, name) if job.options.keep_old else None


def _choose(
    start: StartingWeights | None, state: TrainState, data: TrainingData, ranks: Ranks, run: Run
) -> ShareChoice | None:
    """With `keep_old`, make the best share of its weights the run's result."""
    if start is None or not isinstance(data.validation, WatchedValidation):
        return None
    progress = partial(run.note_shares, state.step)
    choice = choose_weights(run.folder, start, state.encoder, data.validation, ranks, progress)
    run.note_choice(choice.line)
    return choice


def _load_teacher(job: TrainJob, device: torch.device) -> Teacher | None:
    name = job.options.teacher
    speeds = job.config.augment.speed.factors
    return None if name is None else Teacher.load(name, str(device), speeds)


def _check_teacher(loss_fn: SpeakerLoss, teacher: Teacher | None) -> None:
    """Raise ConfigError for a loss without the teacher that it needs, or an unused teacher."""
    if loss_fn.needs_teacher and teacher is None:
        raise ConfigError(f"the loss {loss_fn.name} needs a teacher: give an encoder as `teacher`")
    if teacher is not None and not loss_fn.needs_teacher:
        raise ConfigError(
            f"the loss {loss_fn.name} does not use a teacher: leave `teacher` out, or use the "
            "loss distillation, alone or as a term of sum"
        )
