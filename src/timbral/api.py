"""Composition: the one place where names become objects. One function per verb."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from timbral import bulk, projection, voicemap
from timbral.audio import Preprocessing
from timbral.checkpoint import build_encoder, find_checkpoint, load_encoder
from timbral.config import TrainConfig
from timbral.data.corpora import scan_corpus
from timbral.data.dataset import CropBatches, prefetch
from timbral.data.manifest import read_speakers, select_speakers
from timbral.data.prepare import PrepareReport
from timbral.data.prepare import prepare as write_store
from timbral.data.store import Store
from timbral.embedding_files import vectors_of
from timbral.encoders import SpeakerEncoder
from timbral.errors import ConfigError, DataError
from timbral.evaluation.report import Evaluation, evaluate_scores, write_evaluation
from timbral.evaluation.scoring import score_trials
from timbral.evaluation.trials import draw_pairs, read_trials
from timbral.files import folder_lock
from timbral.inference import Embedder
from timbral.losses import LOSSES
from timbral.metrics import eer, min_dcf
from timbral.training.loop import Report, fit, tune_cpu
from timbral.training.optim import build_optimizer
from timbral.training.run import RunFolder, TrainState, move_aside
from timbral.training.tracking import open_trackers

__all__ = [
    "TrainReport",
    "draw_map",
    "embed",
    "evaluate",
    "load",
    "pick_device",
    "prepare",
    "train",
    "validation_threshold",
]

Progress = Callable[[int, int], None]
VALIDATION_UTTERANCES = 20  # per speaker
"""enough for a steady error rate, few enough to be quick"""


def pick_device(name: str) -> torch.device:
    """``auto`` is the GPU when there is one; ConfigError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; allowed: auto, cpu, cuda, cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name} is asked for, but torch sees no CUDA device; use cpu")
    return device


def load(encoder: str | Path, *, device: str = "auto") -> Embedder:
    """An Embedder from a run folder (its best checkpoint, else the last) or a checkpoint folder."""
    checkpoint = find_checkpoint(Path(encoder))
    return Embedder(
        load_encoder(checkpoint),
        checkpoint.preprocessing,
        device=pick_device(device),
        weights_sha256=checkpoint.weights_sha256,
    )


def validation_threshold(encoder: Path) -> float | None:
    """Cosine where the checkpoint's misses and false alarms were equally frequent, if known."""
    threshold = find_checkpoint(encoder).progress.get("val_threshold")
    return None if threshold is None else float(threshold)


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
    """Train one encoder from a store; a run folder that holds this run is continued."""
    store = Store.open(data)
    training, validation = split_speakers(store, exclude_speakers, validation_speakers)
    target = pick_device(device)
    tune_cpu()
    aside = move_aside(output) if force_restart else None
    with folder_lock(output):
        torch.manual_seed(config.schedule.seed)
        encoder = build_encoder(config.encoder).to(target)
        loss_cls = next(c for c in LOSSES.values() if c.config_type is type(config.loss))
        loss_fn = loss_cls(config.loss).to(target)
        state = TrainState(encoder, loss_fn, build_optimizer([encoder, loss_fn], config.schedule))
        crops = CropBatches(store, training, config.data, config.schedule.seed)
        run = RunFolder(output, config, store.preprocessing)
        run.claim(_describe_data(store, training, validation))
        run.resume(state)
        first_step = state.step
        open_now = open_trackers(output, trackers, first_step)
        validate = _validation(store, validation, encoder) if validation.size else None
        try:
            best = fit(
                state, prefetch(crops(first_step)), config.schedule, run, open_now, validate, report
            )
        finally:
            for tracker in open_now:
                tracker.close()
    return TrainReport(best, state.step, state.seconds, state.best_score, first_step, aside)


def split_speakers(
    store: Store, exclude: Path | None, validation: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the store to train on and to validate on, by speaker.

    `validation` is a file of speakers, a number of speakers, or ``auto``: a tenth of them, 2 to
    20, and none of fewer than 20. Excluded speakers are in neither.
    """
    speakers = set(store.speakers.tolist())
    if exclude is not None:
        speakers -= select_speakers(read_speakers(exclude), speakers, exclude)
    if not speakers:
        raise DataError(f"{exclude}: excludes every speaker of {store.folder}; none is left")
    names = sorted(speakers)
    if validation == "auto" or validation.isdigit():
        auto = min(20, len(names) // 10) if len(names) >= 20 else 0
        count = auto if validation == "auto" else int(validation)
        # evenly spread over the sorted names: the same speakers whatever the machine
        held_out = {names[index * len(names) // count] for index in range(min(count, len(names)))}
    else:
        path = Path(validation)
        held_out = select_speakers(read_speakers(path), speakers, path)
    if held_out == speakers:
        raise DataError(
            f"--validation-speakers {validation} takes all {len(speakers)} speakers; "
            "none is left to train on"
        )
    if len(held_out) == 1:
        raise DataError("validation needs two speakers or more, to have pairs of two voices")
    return store.rows_of(speakers - held_out), store.rows_of(held_out)


def _describe_data(
    store: Store, training: NDArray[np.int64], validation: NDArray[np.int64]
) -> dict[str, Any]:
    names = store.table["utterance"]
    digests = {
        key: hashlib.sha256("\n".join(names.take(rows).to_pylist()).encode()).hexdigest()
        for key, rows in (("training_sha256", training), ("validation_sha256", validation))
    }
    return {**digests, "utterances": len(training), "validation_utterances": len(validation)}


def _validation(
    store: Store, rows: NDArray[np.int64], encoder: SpeakerEncoder
) -> Callable[[], dict[str, float]]:
    """A function that judges `encoder` on trials drawn once among the held-out utterances."""
    kept: list[int] = []
    for speaker in np.unique(store.speakers[rows].astype(str)):
        own = rows[store.speakers[rows] == speaker]
        own = own[store.samples[own] >= encoder.min_samples]
        kept += own[:: max(1, len(own) // VALIDATION_UTTERANCES)][:VALIDATION_UTTERANCES].tolist()
    pairs = np.array(draw_pairs([str(store.speakers[row]) for row in kept]))
    waves = [store.pcm(row) for row in kept]

    def validate() -> dict[str, float]:
        embedder = Embedder(encoder, store.preprocessing, device=next(encoder.parameters()).device)
        usable = [wave.astype(np.float32) / 32_768.0 for wave in waves]
        vectors = embedder.embed_waves(usable)
        scores = np.einsum("ne,ne->n", vectors[pairs[:, 1]], vectors[pairs[:, 2]])
        rate, threshold = eer(scores, pairs[:, 0])
        return {
            "val_eer": rate,
            "val_threshold": threshold,
            "val_min_dcf": min_dcf(scores, pairs[:, 0]),
        }

    return validate


def evaluate(
    embedder: Embedder,
    trials: Path,
    root: Path,
    output: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Score a trial list; write evaluation.json and scores.txt into `output`."""
    scored = score_trials(embedder, read_trials(trials), root, progress)
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
    return picture, voicemap.write_page(marks, output, title=title, progress=progress)
