"""One training run, from a store to a checkpoint; by one process or as one of several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from timbral.checkpoint import Checkpoint, build_encoder, load_weights
from timbral.config import TrainConfig
from timbral.data.dataset import CropBatches, prefetch
from timbral.data.selection import describe_data, split_speakers
from timbral.data.store import Store
from timbral.devices import pick_device, resolve_precision, tune_cpu
from timbral.encoders import SpeakerEncoder
from timbral.errors import DataError
from timbral.evaluation.validation import make_validation
from timbral.files import folder_lock, read_json
from timbral.losses import build_loss
from timbral.training.distributed import Workers, joined, own_rank, share_statistics
from timbral.training.log import WorkerLog, worker_log
from timbral.training.loop import Report, Validate, fit
from timbral.training.run import RunFolder, load_state, move_aside
from timbral.training.state import TrainState, new_state
from timbral.training.tracking import Tracker, check_trackers, open_trackers

__all__ = ["TrainJob", "TrainReport", "run_job"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainJob:
    """All that a process needs to know to train."""

    config: TrainConfig
    data: Path
    output: Path
    exclude_speakers: Path | None = None
    validation_speakers: str = "auto"
    device: str = "auto"
    trackers: Sequence[str] = ()
    force_restart: bool = False
    continue_from: Checkpoint | None = None
    """go on from this checkpoint, whatever the output folder holds"""
    initial: Checkpoint | None = None
    """begin with the encoder's weights of this checkpoint"""


@dataclass(frozen=True)
class TrainReport:
    """What a training ended with."""

    checkpoint: Path
    step: int
    seconds: float
    validation_eer: float | None
    """of the best checkpoint, over speakers that training never saw"""
    resumed_from: int
    moved_aside: Path | None
    too_short: int
    """utterances left out because the encoder needs longer ones"""
    skipped: int
    """steps whose loss or gradient was not finite"""
    bound_by: str
    """data, computation or communication, whichever took most of the time"""


@dataclass(frozen=True)
class _Material:
    """The store, and its rows to train and to validate on."""

    store: Store
    training: Rows
    validation: Rows
    too_short: int


def run_job(job: TrainJob, report: Report) -> TrainReport:
    """Train; a run folder that holds this run is continued.

    Everything that can be wrong with the job is found before its output is touched.
    """
    check_trackers(job.trackers)
    config, device = job.config, pick_device(job.device)
    tune_cpu()
    torch.manual_seed(config.schedule.seed)
    encoder = build_encoder(config.encoder)
    if job.initial is not None:
        load_weights(encoder, job.initial)
    material, validates = _material(job, encoder)
    crops = CropBatches(material.store, material.training, config.data, config.schedule.seed)
    loss_fn = build_loss(config.loss, encoder.embedding_dim, crops.num_speakers)
    state = new_state(encoder.to(device), loss_fn.to(device), config)
    validate = _validation(material, state) if validates else None
    with joined(device) as workers:
        share = workers.share(config.data.speakers_per_batch, config.data.utterances_per_speaker)
        share_statistics(encoder, workers)
        with _run_folder(job, material, state, workers) as (run, log, aside):
            first_step = state.step
            rows = f"{share.rows.start} to {share.rows.stop - 1} of {share.batch_size}"
            log.line(f"from step {first_step}; rows {rows}, on {device}, pid {os.getpid()}")
            with _trackers(job, first_step, workers) as trackers:
                batches = prefetch(crops(first_step, share.rows))
                tell = _teller(log, report if workers.is_first else None)
                seconds = fit(state, batches, config, run, trackers, workers, validate, tell)
            log.line(f"done at step {state.step}, bound by {seconds.bound_by}")
            best = run.best()
    assert best is not None, "the last step saves a checkpoint"
    return TrainReport(
        best,
        state.step,
        state.seconds,
        state.best_score,
        first_step,
        aside,
        material.too_short,
        state.skipped,
        seconds.bound_by,
    )


def _material(job: TrainJob, encoder: SpeakerEncoder) -> tuple[_Material, bool]:
    """What to train on, and whether validation is asked for."""
    store = Store.open(job.data)
    rows = split_speakers(store, job.exclude_speakers, job.validation_speakers)
    training, validation = (own[store.samples[own] >= encoder.min_samples] for own in rows)
    too_short = len(rows[0]) + len(rows[1]) - len(training) - len(validation)
    return _Material(store, training, validation, too_short), bool(len(rows[1]))


def _validation(material: _Material, state: TrainState) -> Validate:
    """Only the first process validates; the others get its numbers."""
    if own_rank():
        return dict
    return make_validation(material.store, material.validation, state.judged)


@contextmanager
def _run_folder(
    job: TrainJob, material: _Material, state: TrainState, workers: Workers
) -> Iterator[tuple[RunFolder, WorkerLog, Path | None]]:
    """The run folder, held by the first process, its log, and where an earlier run went.

    `state` is then at the step to go on from, the same in every process.
    """
    run = RunFolder(job.output, job.config, material.store.preprocessing)
    about = _describe(job, material)
    with ExitStack() as stack:

        def claim() -> tuple[Path | None, bool]:
            aside = move_aside(job.output) if job.force_restart else None
            stack.enter_context(folder_lock(job.output))
            same_data = job.continue_from is None or _same_data(job.continue_from, about)
            run.claim(about, replace=job.continue_from is not None)
            if job.continue_from is not None:
                run.supersede(job.continue_from.step)
            return aside, same_data

        aside, same_data = workers.from_first(claim)
        log = stack.enter_context(worker_log(job.output, workers.rank))
        if job.continue_from is not None:
            log.line(f"continuing {job.continue_from.folder}")
            load_state(job.continue_from, state, same_data=same_data)
            run.forget_missing_best(state)
        else:
            for warning in run.resume(state):
                (log.warning if workers.is_first else log.line)(warning)
        workers.agree(list(state.modules().values()))
        yield run, log, aside


def _describe(job: TrainJob, material: _Material) -> dict[str, Any]:
    """What must stay the same for a run to go on, besides its config."""
    precision = resolve_precision(job.config.schedule.precision, pick_device(job.device))
    about = describe_data(material.store, material.training, material.validation)
    about["precision"] = precision
    if job.initial is not None:
        about["initial weights"] = job.initial.weights_sha256[:16]
    return about


def _same_data(checkpoint: Checkpoint, about: dict[str, Any]) -> bool:
    """Whether a checkpoint's run has trained and validated on the same utterances."""
    try:
        there = read_json(checkpoint.folder.parent.parent / "run.json")["data"]
    except DataError:
        return False
    return all(there[key] == about[key] for key in there if key.endswith("utterances"))


@contextmanager
def _trackers(job: TrainJob, first_step: int, workers: Workers) -> Iterator[Sequence[Tracker]]:
    if not workers.is_first:
        yield ()
        return
    with open_trackers(job.output, job.trackers, first_step) as opened:
        yield opened


def _teller(log: WorkerLog, report: Report | None) -> Report:
    def tell(step: int, values: dict[str, float]) -> None:
        log.numbers(step, values)
        if report is not None:
            report(step, values)

    return tell
