"""One training run, from a store to a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timbral import projection
from timbral.checkpoint import Checkpoint, build_encoder, build_loss, load_encoder
from timbral.config import TrainConfig, to_mapping
from timbral.data.augment import Augmenter
from timbral.data.dataset import Batch, CropBatches, prefetch
from timbral.data.selection import describe_data, split_speakers
from timbral.data.store import Store
from timbral.encoders import SpeakerEncoder
from timbral.errors import ConfigError
from timbral.evaluation.validation import make_validation
from timbral.files import folder_lock
from timbral.pretrained import cache_folder
from timbral.training.gallery import Gallery
from timbral.training.loop import Report, Validate, fit, resolve_precision, tune_cpu
from timbral.training.optim import build_optimizer
from timbral.training.run import RunFolder, TrainState, move_aside
from timbral.training.tracking import RunInfo, check_trackers, open_trackers

__all__ = ["TrainJob", "TrainReport", "pick_device", "run_job"]

Rows = NDArray[np.int64]


def pick_device(name: str) -> torch.device:
    """``auto`` (or ``best``) is the GPU when there is one, ``gpu`` is cuda.

    Raises ConfigError for a device that is not there.
    """
    name = {"best": "auto", "gpu": "cuda"}.get(name, name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; allowed: auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name} is not supported; allowed: auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"device {name} is asked for, but torch sees {count} CUDA devices")
    return device


@dataclass(frozen=True)
class TrainJob:
    """All there is to know to train."""

    config: TrainConfig
    data: Path
    output: Path
    exclude_speakers: Path | None = None
    validation_speakers: str = "auto"
    validation_data: Path | None = None
    """a store of its own to validate on"""
    device: str = "auto"
    trackers: Sequence[str] = ()
    project: str = "timbral"
    comet_key: str = field(default="", repr=False)
    force_restart: bool = False
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
    unreadable_sounds: list[str]
    """recordings of noise, music or rooms that were passed over, with the reason"""


@dataclass(frozen=True)
class _Material:
    """What to train and to validate on; the second may lie in a store of its own."""

    store: Store
    training: Rows
    validation_store: Store
    validation: Rows
    too_short: int
    validates: bool

    @classmethod
    def choose(cls, job: TrainJob, encoder: SpeakerEncoder) -> _Material:
        """Rows long enough for the encoder. ConfigError when both ways of validation are named."""
        store = judged = Store.open(job.data)
        speakers = job.validation_speakers
        if job.validation_data is None:
            training, validation = split_speakers(store, job.exclude_speakers, speakers)
        else:
            if speakers != "auto":
                raise ConfigError("--validation-speakers and --validation-data exclude each other")
            judged = Store.open(job.validation_data)
            training, _ = split_speakers(store, job.exclude_speakers, "0")
            validation = np.arange(len(judged))
        long = [
            rows[of.samples[rows] >= encoder.min_samples]
            for rows, of in ((training, store), (validation, judged))
        ]
        too_short = len(training) + len(validation) - len(long[0]) - len(long[1])
        return cls(store, long[0], judged, long[1], too_short, bool(len(validation)))


def run_job(job: TrainJob, report: Report) -> TrainReport:
    """Train; a run folder that holds this run is continued.

    Everything that can be wrong with the job is found before its output is touched.
    """
    check_trackers(job.trackers)
    config, device, seed = job.config, pick_device(job.device), job.config.schedule.seed
    if config.tracking.draws:
        projection.check_installed()
    tune_cpu()
    torch.manual_seed(seed)
    encoder = _encoder(job)
    loss_fn = build_loss(config.loss).to(device)
    optimizer = build_optimizer([encoder.to(device), loss_fn], config.schedule)
    state = TrainState(encoder, loss_fn, optimizer)
    found = _Material.choose(job, encoder)
    augmenter = Augmenter(config.augment, seed, cache_folder() / "sounds")
    crops = CropBatches(found.store, found.training, config.data, seed, augmenter)
    gallery = Gallery(job.output, config)
    validate = _validation(found, state, gallery)
    aside = move_aside(job.output) if job.force_restart else None
    with folder_lock(job.output):
        run = RunFolder(job.output, config, found.store.preprocessing)
        run.claim(_describe(config, found, device))
        run.resume(state)
        first_step = state.step
        info = RunInfo(job.output, first_step, to_mapping(config), job.project, job.comet_key)
        with open_trackers(info, job.trackers) as gallery.trackers:

            def show(batch: Batch, embeddings: Tensor) -> None:
                gallery.batch(state.step, batch, embeddings, found.store)

            batches = prefetch(crops(first_step))
            trackers = gallery.trackers
            best = fit(state, batches, config.schedule, run, trackers, validate, report, show)
    score, short, bad = state.best_score, found.too_short, augmenter.failures
    return TrainReport(best, state.step, state.seconds, score, first_step, aside, short, bad)


def _encoder(job: TrainJob) -> SpeakerEncoder:
    """New, or with the weights to begin with; ConfigError when these are of another shape."""
    if job.initial is None:
        return build_encoder(job.config.encoder)
    if job.initial.config.encoder != job.config.encoder:
        raise ConfigError(
            f"{job.initial.folder} holds another encoder ({job.initial.config.encoder}) than the "
            f"config asks for ({job.config.encoder})"
        )
    return load_encoder(job.initial)


def _validation(found: _Material, state: TrainState, gallery: Gallery) -> Validate | None:
    """Judge the encoder, and draw what it makes of the utterances."""
    if not found.validates:
        return None
    store = found.validation_store

    def show(vectors: NDArray[np.float32], rows: Rows) -> None:
        gallery.validation(state.step, vectors, store, rows)

    return make_validation(store, found.validation, state.encoder, show)


def _describe(config: TrainConfig, found: _Material, device: torch.device) -> dict[str, object]:
    """What must stay the same for a run to go on, besides its config."""
    about = describe_data(found.store, found.training, found.training[:0])
    judged = describe_data(found.validation_store, found.training[:0], found.validation)
    about["validation utterances"] = judged["validation utterances"]
    about["precision"] = resolve_precision(config.schedule.precision, device)
    return about
