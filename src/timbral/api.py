"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from timbral.bulk import corpus as bulk
from timbral.bulk.inputs import find_utterances
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.checkpoints.loading import (
    ModelInfo,
    average,
    convert,
    download,
    models,
    register_encoder,
    resolve,
    untrained,
    validation_threshold,
)
from timbral.config.schema import TrainConfig
from timbral.data.prepared.prepare import prepare
from timbral.errors import ConfigError
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.io.devices import pick_device
from timbral.reports.embed_folder import audit_folder, average_speakers, draw_map
from timbral.scoring.evaluation import Evaluation, evaluate_scores, write_evaluation
from timbral.scoring.scores import score_trials
from timbral.scoring.trials import read_trials
from timbral.training.launch import check_processes, launch
from timbral.training.loop import Report
from timbral.training.session import TrainJob, TrainReport, run_job

__all__ = [
    "ModelInfo",
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
    "train",
    "untrained",
    "validation_threshold",
]

Progress = Callable[[int, int], None]


def train(
    config: TrainConfig,
    data: Path,
    output: Path,
    *,
    exclude_speakers: Path | None = None,
    validation_speakers: str = "auto",
    validation_data: Path | None = None,
    device: str = "auto",
    trackers: Sequence[str] = (),
    project: str = "timbral",
    comet_key: str = "",
    force_restart: bool = False,
    nprocs: int = 1,
    checkpoint_path: Path | None = None,
    init: str | Path | None = None,
    report: Report = lambda step, values: None,
) -> TrainReport:
    """Train one encoder on prepared data; a run folder that holds this run is resumed.

    `nprocs` processes of this machine share the work, to the same result. With
    `checkpoint_path` the run goes on from that checkpoint instead, maybe with other data; with
    `init` it begins with the encoder's weights of a name, a run or a checkpoint.
    """
    if checkpoint_path is not None and (force_restart or init is not None):
        raise ConfigError("--checkpoint-path goes with neither --force-restart nor --init")
    job = TrainJob(
        config,
        data,
        output,
        exclude_speakers,
        validation_speakers,
        validation_data,
        device,
        tuple(trackers),
        project,
        comet_key,
        force_restart,
        None if checkpoint_path is None else find_checkpoint(checkpoint_path),
        None if init is None else resolve(init),
    )
    if nprocs == 1:
        return run_job(job, report)
    check_processes(nprocs, pick_device(device))
    done: TrainReport = launch(nprocs, run_job, job, report)
    return done


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
    utterances = find_utterances(layout, root, pattern)
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
