"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from timbral import bulk, projection, voicemap
from timbral.checkpoint import find_checkpoint
from timbral.config import TrainConfig
from timbral.data.corpora import scan_corpus
from timbral.data.prepare import prepare
from timbral.devices import pick_device
from timbral.embedding_files import vectors_of
from timbral.errors import ConfigError
from timbral.evaluation.report import Evaluation, evaluate_scores, write_evaluation
from timbral.evaluation.scoring import score_trials
from timbral.evaluation.trials import read_trials
from timbral.inference import Embedder
from timbral.loading import (
    ModelInfo,
    convert,
    load,
    models,
    pull,
    register_encoder,
    resolve,
    untrained,
    validation_threshold,
)
from timbral.train import TrainJob, TrainReport, run_job
from timbral.training.launch import check_processes, launch
from timbral.training.loop import Report

__all__ = [
    "ModelInfo",
    "TrainReport",
    "convert",
    "draw_map",
    "embed",
    "evaluate",
    "load",
    "models",
    "pick_device",
    "prepare",
    "pull",
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
    """Train one encoder from a store or a mel tree; a run folder that holds this run is continued.

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
    root: Path,
    output: Path,
    *,
    layout: str = "folder",
    format: str = "parquet",
    model_name: str | None = None,
    progress: bulk.Progress = lambda done, total, seconds: None,
) -> bulk.BulkReport:
    """Embed every utterance and speaker of a corpus."""
    utterances = scan_corpus(layout, root)
    return bulk.embed_corpus(
        embedder, utterances, root, output, format=format, model_name=model_name, progress=progress
    )


def draw_map(
    embeddings: Path, output: Path, progress: Progress | None = None
) -> tuple[Path, voicemap.PageSummary]:
    """Draw an `embed` folder as a page (HTML) and, beside it, a picture (PNG)."""
    projection.check_installed()
    table = bulk.read_vectors(embeddings)
    points = projection.project(vectors_of(table))
    speakers = table["speaker"].to_pylist()
    title = f"{len(speakers):,} utterances of {len(set(speakers)):,} speakers"
    picture = output.with_suffix(".png")
    projection.draw(points, speakers, picture, title=title)
    marks = [
        voicemap.Point(row["utterance"], row["speaker"], row["path"], float(x), float(y))
        for row, (x, y) in zip(
            table.select(["utterance", "speaker", "path"]).to_pylist(), points, strict=True
        )
    ]
    return picture, voicemap.write_page(marks, output, title="Voice map", progress=progress)
