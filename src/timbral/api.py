"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from timbral import bulk, pretrained
from timbral.audio import Preprocessing
from timbral.checkpoint import (
    Checkpoint,
    build_encoder,
    build_loss,
    find_checkpoint,
    load_encoder,
)
from timbral.config import TrainConfig
from timbral.data.corpora import scan_corpus
from timbral.data.dataset import CropBatches, prefetch
from timbral.data.prepare import PrepareReport
from timbral.data.prepare import prepare as write_store
from timbral.data.selection import describe_data, split_speakers
from timbral.data.store import Store
from timbral.embed_folder import audit_folder, average_speakers, draw_map
from timbral.encoders import ENCODERS, SpeakerEncoder
from timbral.errors import CheckpointError, ConfigError, did_you_mean
from timbral.evaluation.report import Evaluation, evaluate_scores, write_evaluation
from timbral.evaluation.scoring import score_trials
from timbral.evaluation.trials import read_trials
from timbral.evaluation.validation import make_validation
from timbral.files import folder_lock
from timbral.inference import Embedder
from timbral.pretrained import PRETRAINED, cached
from timbral.training.loop import Report, fit, resolve_precision, tune_cpu
from timbral.training.optim import build_optimizer
from timbral.training.run import RunFolder, TrainState, move_aside
from timbral.training.tracking import check_trackers, open_trackers

__all__ = [
    "ModelInfo",
    "TrainReport",
    "audit_folder",
    "average_speakers",
    "draw_map",
    "embed",
    "evaluate",
    "load",
    "models",
    "pick_device",
    "prepare",
    "pull",
    "resolve",
    "train",
    "validation_threshold",
]

Progress = Callable[[int, int], None]


def pick_device(name: str) -> torch.device:
    """``auto`` is the GPU when there is one; ConfigError for a device that is not there."""
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


def load(encoder: str | Path, *, device: str = "auto") -> Embedder:
    """An Embedder from a name of `timbral models`, a run folder, or a checkpoint folder.

    Of a run folder the best checkpoint is taken, else the last. Raises CheckpointError when
    there is none.
    """
    checkpoint = resolve(encoder)
    return Embedder(
        load_encoder(checkpoint),
        checkpoint.preprocessing,
        device=pick_device(device),
        name=checkpoint.name,
        weights_sha256=checkpoint.weights_sha256,
        licence=checkpoint.licence,
    )


def resolve(encoder: str | Path) -> Checkpoint:
    """The checkpoint that a name or a folder stands for."""
    name = str(encoder)
    if name in PRETRAINED and not Path(name).exists():
        folder = cached(name)
        if folder is None:
            raise CheckpointError(f"{name} is not on this machine yet; get it: timbral pull {name}")
        return Checkpoint.read(folder)
    if not Path(name).exists() and Path(name).name == name:
        raise CheckpointError(
            f"{name!r} is neither a run folder nor a known encoder{did_you_mean(name, PRETRAINED)}"
        )
    return find_checkpoint(Path(encoder))


def validation_threshold(encoder: str | Path) -> float | None:
    """Cosine where the checkpoint's misses and false alarms were equally frequent, if known."""
    threshold = resolve(encoder).progress.get("val_threshold")
    return None if threshold is None else float(threshold)


@dataclass(frozen=True)
class ModelInfo:
    """One row of `timbral models`."""

    name: str
    about: str
    embedding_dim: int
    parameters: int
    sample_rate: int
    weights: str
    """where they come from, or ``to train``"""
    licence: str
    here: bool
    """ready to use on this machine"""


def models() -> list[ModelInfo]:
    """Encoders to train, at their default sizes, then published weights."""
    rows = []
    for name, cls in ENCODERS.items():
        about = (cls.__doc__ or "").partition("\n")[0]
        rows.append(_describe(name, about, cls(cls.config_type()), "to train", "", True))
    for name, source in PRETRAINED.items():
        encoder = build_encoder(source.config.encoder)
        origin, here = f"package {source.package}", cached(name) is not None
        rows.append(_describe(name, source.about, encoder, origin, source.licence, here))
    return rows


def _describe(
    name: str, about: str, encoder: SpeakerEncoder, weights: str, licence: str, here: bool
) -> ModelInfo:
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    dim, rate = encoder.embedding_dim, encoder.sample_rate
    return ModelInfo(name, about, dim, parameters, rate, weights, licence, here)


def pull(name: str) -> Path:
    """Fetch published weights; returns their checkpoint folder. ConfigError for other names."""
    if name not in PRETRAINED:
        raise ConfigError(f"unknown weights {name!r}{did_you_mean(name, PRETRAINED)}")
    return pretrained.pull(name)


def prepare(
    root: Path,
    layout: str,
    output: Path,
    preprocessing: Preprocessing,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PrepareReport:
    """Scan a corpus and write it as a store."""
    utterances = scan_corpus(layout, root)
    return write_store(utterances, output, preprocessing, workers=workers, progress=progress)


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


def train(
    config: TrainConfig,
    data: Path,
    output: Path,
    *,
    exclude_speakers: Path | None = None,
    validation_speakers: str = "auto",
    device: str = "auto",
    trackers: Sequence[str] = (),
    force_restart: bool = False,
    report: Report = lambda step, values: None,
) -> TrainReport:
    """Train one encoder from a store; a run folder that holds this run is continued.

    Everything that can be wrong with the arguments is found before `output` is touched.
    """
    store = Store.open(data)
    check_trackers(trackers)
    target = pick_device(device)
    tune_cpu()
    torch.manual_seed(config.schedule.seed)
    encoder = build_encoder(config.encoder).to(target)
    loss_fn = build_loss(config.loss).to(target)
    state = TrainState(encoder, loss_fn, build_optimizer([encoder, loss_fn], config.schedule))
    training, validation = split_speakers(store, exclude_speakers, validation_speakers)
    counts = (len(training), len(validation))
    training, validation = (
        rows[store.samples[rows] >= encoder.min_samples] for rows in (training, validation)
    )
    too_short = sum(counts) - len(training) - len(validation)
    crops = CropBatches(store, training, config.data, config.schedule.seed)
    validate = make_validation(store, validation, encoder) if counts[1] else None
    aside = move_aside(output) if force_restart else None
    with folder_lock(output):
        run = RunFolder(output, config, store.preprocessing)
        precision = resolve_precision(config.schedule.precision, target)
        run.claim({**describe_data(store, training, validation), "precision": precision})
        run.resume(state)
        first_step = state.step
        with open_trackers(output, trackers, first_step) as opened:
            batches = prefetch(crops(first_step))
            best = fit(state, batches, config.schedule, run, opened, validate, report)
    return TrainReport(
        best, state.step, state.seconds, state.best_score, first_step, aside, too_short
    )


def evaluate(
    embedder: Embedder,
    trials: Path,
    root: Path,
    output: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Score a trial list; write evaluation.json and scores.txt into `output`."""
    listed = read_trials(trials)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # fails before the work, not after it
    scored = score_trials(embedder, listed, root, progress)
    evaluation = evaluate_scores(scored)
    if output is not None:
        about = {"trial_list": str(trials), "weights_sha256": embedder.weights_sha256}
        write_evaluation(output, evaluation, scored, about)
    return evaluation


def embed(
    embedder: Embedder,
    root: str | Path,
    output: str | Path,
    *,
    layout: str = "folder",
    pattern: str | None = None,
    format: str = "parquet",
    model_name: str | None = None,
    engine: bulk.Engine = bulk.Engine(),  # noqa: B008 (it is frozen)
    progress: bulk.Progress = lambda done, total, seconds, failures: None,
) -> bulk.BulkReport:
    """Embed every utterance and speaker of a corpus; `root` and `output` are folders or URLs.

    With a `pattern`, such as ``*.wav``, only recordings whose name or end of path fits it.
    """
    utterances = bulk.find_utterances(layout, root, pattern)
    return bulk.embed_corpus(
        embedder,
        utterances,
        root,
        output,
        format=format,
        model_name=model_name,
        engine=engine,
        progress=progress,
    )
