"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from timbral.bulk import corpus as bulk
from timbral.bulk.engines import DEFAULT_ENGINE, Engine
from timbral.checkpoints.averaging import average
from timbral.checkpoints.catalog import ModelInfo, models
from timbral.checkpoints.checkpoint import uninitialized_message
from timbral.checkpoints.conversion import convert
from timbral.checkpoints.download import download
from timbral.checkpoints.resolve import resolve, validation_threshold
from timbral.checkpoints.user_encoders import register_encoder
from timbral.config.schema import TrainConfig
from timbral.config.yaml import load_config
from timbral.data.prepared.prepare import prepare
from timbral.data.sources import find_utterances
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.devices import pick_device
from timbral.io.types import StepProgress
from timbral.reports.embed_folder import audit_folder, average_speakers, draw_map
from timbral.scoring.evaluation import (
    DEFAULT_P_TARGET,
    Evaluation,
    evaluate_scores,
    write_evaluation,
)
from timbral.scoring.metrics import check_p_target
from timbral.scoring.scores import score_trials
from timbral.scoring.trials import read_trials
from timbral.training.job import TrainJob, TrainReport
from timbral.training.launch import check_processes, launch
from timbral.training.options import TrainOptions
from timbral.training.session import run_job

__all__ = [
    "ModelInfo",
    "TrainJob",
    "TrainOptions",
    "TrainReport",
    "audit_folder",
    "average",
    "average_speakers",
    "convert",
    "download",
    "draw_map",
    "embed",
    "evaluate",
    "load_encoder",
    "models",
    "pick_device",
    "prepare",
    "register_encoder",
    "resolve",
    "run_training",
    "train",
    "uninitialized_message",
    "validation_threshold",
]

Progress = Callable[[int, int], None]


def train(
    config: TrainConfig | str | Path,
    data: str | Path,
    output: str | Path,
    *,
    exclude_speakers: str | Path | None = None,
    validation_speakers: str | Path | int = "auto",
    validation_data: str | Path | None = None,
    device: str = "auto",
    workers: int = 1,
    init: str | Path | None = None,
    checkpoint_path: str | Path | None = None,
    force_restart: bool = False,
    trackers: Sequence[str] = (),
    project: str = "timbral",
    comet_key: str = "",
    progress: StepProgress = lambda step, values: None,
) -> TrainReport:
    """Train one encoder on prepared data; a run folder that holds this run is resumed.

    Args:
        config: a TrainConfig, or the path of a YAML file
        data: a folder that `prepare` made, or precomputed mels
        output: the run folder: config.yaml, metrics.jsonl, checkpoints, logs, plots
        exclude_speakers: a file of speaker ids, one a line, that are never read
        validation_speakers: speakers kept from training to validate on: a file of ids, or how
            many; ``auto`` is a tenth of them, 20 at most; 0 is no validation
        validation_data: other prepared data to validate on, instead of such speakers
        device: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``
        workers: processes of this machine that share each batch, to the same result
        init: an encoder (name, run or checkpoint folder) whose weights training begins with
        checkpoint_path: a checkpoint to resume from, step and optimizer included, maybe with other
            data, whatever `output` holds; goes with neither `init` nor `force_restart`
        force_restart: rename a run that is in `output` (to OUTPUT.1), and train from the first step
        trackers: any of comet, mlflow, tensorboard, visualdl, wandb, besides metrics.jsonl
        project: the run's project in its trackers
        comet_key: for Comet; without it, and without COMET_API_KEY, Comet works offline
        progress: called with the step and its numbers: loss, batch_eer, val_eer, …

    Raises ConfigError for settings, DataError for data, CheckpointError for weights that cannot be
    used, TrainingError when `output` holds another run or training diverges. Whatever is wrong
    with the arguments is found before `output` is touched.
    """
    options = TrainOptions(
        exclude_speakers=_path(exclude_speakers),
        validation_speakers=str(validation_speakers),
        validation_data=_path(validation_data),
        device=device,
        workers=workers,
        init=None if init is None else str(init),
        checkpoint_path=_path(checkpoint_path),
        force_restart=force_restart,
        trackers=tuple(trackers),
        project=project,
    )
    if not isinstance(config, TrainConfig):
        config = load_config(Path(config))
    return run_training(TrainJob(config, Path(data), Path(output), options, comet_key), progress)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def run_training(job: TrainJob, progress: StepProgress = lambda step, values: None) -> TrainReport:
    """Do a job, in as many processes as it asks for."""
    if job.options.workers == 1:
        return run_job(job, progress)
    check_processes(job.options.workers, pick_device(job.options.device or "auto"))
    return launch(job.options.workers, run_job, job, progress)


def evaluate(
    embedder: Embedder,
    trials: Path,
    root: Path,
    output: Path | None = None,
    progress: Progress = lambda done, total: None,
    *,
    p_target: float = DEFAULT_P_TARGET,
) -> Evaluation:
    """Score a trial list; write evaluation.json and scores.txt into `output`.

    `p_target` is the prior of target trials in minDCF.
    """
    check_p_target(p_target)
    listed = read_trials(trials)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # fails before the work, not after it
    scored = score_trials(embedder, listed, root, progress)
    evaluation = evaluate_scores(scored, p_target)
    if output is not None:
        metadata = {
            "trial_list": str(trials),
            "encoder": embedder.name,
            "weights_sha256": embedder.weights_sha256,
        }
        write_evaluation(output, evaluation, scored, metadata)
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
    engine: Engine = DEFAULT_ENGINE,
    progress: bulk.EmbedProgress = lambda done, total, seconds, failures: None,
) -> bulk.EmbedSummary:
    """Embed every utterance and speaker of a corpus (`find_utterances`) into a folder or a URL.

    With a `pattern`, such as ``*.wav``, only recordings whose name or end of path fits it.
    """
    utterances = find_utterances(root, layout, pattern, mel_files=True)
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
