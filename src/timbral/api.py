"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral import bulk, pretrained, projection, voicemap
from timbral.audio import Preprocessing
from timbral.checkpoint import (
    Checkpoint,
    build_encoder,
    find_checkpoint,
    load_encoder,
)
from timbral.config import TrainConfig
from timbral.data.corpora import scan_corpus
from timbral.data.prepare import PrepareReport
from timbral.data.prepare import prepare as write_store
from timbral.embedding_files import vectors_of
from timbral.encoders import ENCODERS, SpeakerEncoder
from timbral.errors import CheckpointError, ConfigError, did_you_mean
from timbral.evaluation.report import Evaluation, evaluate_scores, write_evaluation
from timbral.evaluation.scoring import score_trials
from timbral.evaluation.trials import read_trials
from timbral.inference import Embedder
from timbral.pretrained import PRETRAINED, cached
from timbral.train import TrainJob, TrainReport, pick_device, run_job
from timbral.training.loop import Report

__all__ = [
    "ModelInfo",
    "TrainReport",
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
    init: str | Path | None = None,
    report: Report = lambda step, values: None,
) -> TrainReport:
    """Train one encoder from a store; a run folder that holds this run is continued.

    With `init` it begins with the encoder's weights of a name, a run or a checkpoint. Everything
    that can be wrong with the arguments is found before `output` is touched.
    """
    job = TrainJob(
        config,
        data,
        output,
        exclude_speakers,
        validation_speakers,
        validation_data,
        device,
        trackers,
        project,
        comet_key,
        force_restart,
        None if init is None else resolve(init),
    )
    return run_job(job, report)


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
