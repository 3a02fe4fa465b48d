"""One training run, from a store to a checkpoint; by one process or as one of several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral.checkpoints.checkpoint import Checkpoint, find_checkpoint
from timbral.checkpoints.resolve import resolve
from timbral.checkpoints.weights import build_encoder, load_weights
from timbral.config.schema import TrainConfig
from timbral.config.yaml import to_mapping
from timbral.data.augment.config import AugmentConfig
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import Batch, BatchSource
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.batches.prefetch import prefetch
from timbral.data.batches.selection import describe_data, split_speakers
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.store import Store
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import ConfigError, DataError
from timbral.inference.mels import check_takes_mels
from timbral.io.cache import cache_folder
from timbral.io.devices import pick_device, resolve_precision, tune_cpu
from timbral.io.files import folder_lock, read_json
from timbral.io.types import StepProgress
from timbral.losses.registry import build_loss
from timbral.plots import projection
from timbral.training.distributed import Workers, joined, own_rank, share_statistics
from timbral.training.job import TrainJob, TrainReport
from timbral.training.log import WorkerLog, worker_log
from timbral.training.loop import Show, Validate, fit
from timbral.training.plots import Gallery
from timbral.training.run import RunFolder, load_state, move_aside
from timbral.training.state import TrainState, new_state
from timbral.training.trackers.base import Tracker
from timbral.training.trackers.registry import RunInfo, check_trackers, open_trackers
from timbral.training.validation import make_validation

__all__ = ["run_job"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Material:
    """What to train and to validate on; the second may lie in a store of its own."""

    store: PreparedData
    training: Rows
    validation_store: PreparedData
    validation: Rows
    too_short: int
    validates: bool

    @classmethod
    def choose(cls, job: TrainJob, encoder: SpeakerEncoder) -> _Material:
        """Rows long enough for the encoder. ConfigError when both ways of validation are named."""
        store = judged = _open(job.data, encoder)
        excluded, speakers = job.options.exclude_speakers, job.options.validation_speakers
        if job.options.validation_data is None:
            training, validation = split_speakers(store, excluded, speakers)
        else:
            judged = _open(job.options.validation_data, encoder)
            training, _ = split_speakers(store, excluded, "0")
            validation = np.arange(len(judged))
        long = [
            rows[of.samples[rows] >= encoder.min_samples]
            for rows, of in ((training, store), (validation, judged))
        ]
        too_short = len(training) + len(validation) - len(long[0]) - len(long[1])
        return cls(store, long[0], judged, long[1], too_short, bool(len(validation)))


def run_job(job: TrainJob, report: StepProgress) -> TrainReport:
    """Train; a run folder that holds this run is continued.

    Everything that can be wrong with the job is found before its output is touched.
    """
    check_trackers(job.options.trackers)
    config, seed = job.config, job.config.trainer.seed
    device = pick_device(job.options.device or "auto")
    initial = None if job.options.init is None else resolve(job.options.init)
    if config.tracking.draws:
        projection.check_installed()
    tune_cpu()
    torch.manual_seed(seed)
    encoder = build_encoder(config.encoder)
    if initial is not None:
        load_weights(encoder, initial)
    found = _Material.choose(job, encoder)
    augmenter = Augmenter(config.augment, seed, cache_folder() / "sounds")
    crops = _crops(found, config, augmenter)
    loss_fn = build_loss(config.loss, encoder.embedding_dim, crops.num_speakers)
    state = new_state(encoder.to(device), loss_fn.to(device), config)
    gallery = Gallery(job.output, config)
    validate = _validation(found, state, gallery)
    with joined(device) as workers:
        share = workers.share(config.data.speakers_per_batch, config.data.utterances_per_speaker)
        share_statistics(encoder, workers)
        with _run_folder(job, found, initial, state, workers) as (run, log, aside):
            first_step = state.step
            rows = f"{share.rows.start} to {share.rows.stop - 1} of {share.batch_size}"
            log.line(f"from step {first_step}; rows {rows}, on {device}, pid {os.getpid()}")
            with _trackers(job, first_step, workers) as gallery.trackers:
                show = _shower(gallery, state, found.store, workers)
                first_batch = first_step * config.trainer.gradient_accumulation_steps
                batches = prefetch(crops.batches(first_batch, share.rows))
                tell, trackers = _teller(log, report, workers), gallery.trackers
                seconds = fit(state, batches, config, run, trackers, workers, validate, tell, show)
            log.line(f"done at step {state.step}, {seconds.bottleneck}-bound")
            best = run.best()
    assert best is not None, "the last step saves a checkpoint"
    return TrainReport(
        checkpoint=best,
        step=state.step,
        seconds=state.seconds,
        validation_eer=state.best_score,
        resumed_from=first_step,
        previous_run=aside,
        too_short=found.too_short,
        skipped=state.skipped,
        bottleneck=seconds.bottleneck,
        unreadable_augmentation=augmenter.failures,
    )


def _open(data: Path, encoder: SpeakerEncoder) -> PreparedData:
    """Prepared data of either kind. ConfigError for mels that the encoder does not take."""
    prepared = open_prepared(data)
    if isinstance(prepared, PrecomputedMels):
        check_takes_mels(encoder)
    return prepared


def _crops(found: _Material, config: TrainConfig, augmenter: Augmenter) -> BatchSource:
    seed = config.trainer.seed
    if isinstance(found.store, Store):
        return WaveCrops(found.store, found.training, config.data, seed, augmenter)
    assert isinstance(found.store, PrecomputedMels)
    if config.augment != AugmentConfig():
        raise ConfigError(
            "precomputed mels hold no waves to augment; prepare with --format arrow, or "
            "leave out the config's augment section"
        )
    return MelCrops(found.store, found.training, config.data, seed)


def _validation(found: _Material, state: TrainState, gallery: Gallery) -> Validate | None:
    """Judge the encoder, and draw what it makes of the utterances.

    Only the first process validates; the others get its numbers.
    """
    if not found.validates:
        return None
    if own_rank():
        return dict
    store = found.validation_store

    def show(vectors: NDArray[np.float32], rows: Rows) -> None:
        gallery.validation(state.step, vectors, store, rows)

    return make_validation(store, found.validation, state.judged, show)


@contextmanager
def _run_folder(
    job: TrainJob,
    found: _Material,
    initial: Checkpoint | None,
    state: TrainState,
    workers: Workers,
) -> Iterator[tuple[RunFolder, WorkerLog, Path | None]]:
    """The run folder, held by the first process, its log, and where an earlier run went.

    `state` is then at the step to go on from, the same in every process.
    """
    run = RunFolder(job.output, job.config, found.store.preprocessing)
    about = _describe(job, found, initial)
    path = job.options.checkpoint_path
    checkpoint = None if path is None else find_checkpoint(path)
    with ExitStack() as stack:

        def claim() -> tuple[Path | None, bool]:
            aside = move_aside(job.output) if job.options.force_restart else None
            stack.enter_context(folder_lock(job.output))
            same_data = checkpoint is None or _same_data(checkpoint, about)
            run.claim(about, replace=checkpoint is not None)
            if checkpoint is not None:
                run.supersede(checkpoint.step)
            return aside, same_data

        aside, same_data = workers.from_first(claim)
        log = stack.enter_context(worker_log(job.output, workers.rank))
        if checkpoint is not None:
            log.line(f"continuing {checkpoint.folder}")
            load_state(checkpoint, state, same_data=same_data)
            run.forget_missing_best(state)
        else:
            for warning in run.resume(state):
                (log.warning if workers.is_first else log.line)(warning)
        workers.agree(list(state.modules().values()))
        yield run, log, aside


def _describe(job: TrainJob, found: _Material, initial: Checkpoint | None) -> dict[str, Any]:
    """What must stay the same for a run to go on, besides its config."""
    precision = resolve_precision(
        job.config.trainer.precision, pick_device(job.options.device or "auto")
    )
    about = describe_data(found.store, found.training, found.training[:0])
    judged = describe_data(found.validation_store, found.training[:0], found.validation)
    about["validation utterances"] = judged["validation utterances"]
    about["precision"] = precision
    if initial is not None:
        about["initial weights"] = initial.weights_sha256[:16]
    return about


def _same_data(checkpoint: Checkpoint, about: dict[str, Any]) -> bool:
    """Whether a checkpoint's run has trained and validated on the same utterances."""
    try:
        there = read_json(checkpoint.folder.parent.parent / "run.json")["data"]
    except DataError:
        return False
    return all(there[key] == about[key] for key in there if key.endswith("utterances"))


@contextmanager
def _trackers(job: TrainJob, first_step: int, workers: Workers) -> Iterator[list[Tracker]]:
    if not workers.is_first:
        yield []
        return
    info = RunInfo(
        job.output, first_step, to_mapping(job.config), job.options.project, job.comet_key
    )
    with open_trackers(info, job.options.trackers) as opened:
        yield opened


def _shower(gallery: Gallery, state: TrainState, store: PreparedData, workers: Workers) -> Show:
    def show(batch: Batch, embeddings: Tensor, loss: float) -> None:
        if workers.is_first:
            gallery.batch(state.step, batch, embeddings, loss, store)

    return show


def _teller(log: WorkerLog, report: StepProgress, workers: Workers) -> StepProgress:
    def tell(step: int, values: Mapping[str, float]) -> None:
        log.numbers(step, values)
        if workers.is_first:
            report(step, values)

    return tell
