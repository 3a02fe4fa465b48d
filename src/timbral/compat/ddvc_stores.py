"""Prepare the folders of recordings in ddvc's config, and convert its epochs to steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from timbral.audio.preprocessing import Preprocessing
from timbral.compat.translation import Recipe, RunSettings
from timbral.config.schema import TrainConfig
from timbral.data.manifest import Utterance
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.sources import find_utterances
from timbral.errors import ConfigError, DataError
from timbral.io.types import Progress

__all__ = ["prepare_audio", "with_epochs"]

UNPROCESSED = Preprocessing(trim="none", min_rms_dbfs=None)
"""ddvc does not preprocess recordings"""


def prepare_audio(
    run: RunSettings,
    output: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Path | None]:
    """Prepare the training and validation data, once, in ``OUTPUT.data``; returns the folders.

    That folder is next to the run, not in it, so that it stays in place when the run is renamed.
    Raises ConfigError without a folder of training data, and DataError, before anything is written,
    for a folder without recordings.
    """
    if run.training_audio is None:
        raise ConfigError("data is required: a folder made by `timbral prepare`")
    corpora = {"training": _recordings(run.training_audio, run.sessions)}
    if run.validation_audio is not None:
        corpora["validation"] = _recordings(run.validation_audio, run.sessions)
    folder = output.with_name(f"{output.name}.data")
    for name, rows in corpora.items():
        prepare(rows, folder / name, UNPROCESSED, workers=workers, progress=progress)
    return folder / "training", folder / "validation" if "validation" in corpora else None


def _recordings(root: Path, sessions: bool) -> Sequence[Utterance]:
    """The recordings in a folder with one folder per speaker; in subfolders only with
    `sessions`.
    """
    rows: Sequence[Utterance] = find_utterances(root, "folder")
    if not sessions:
        rows = [row for row in rows if not row.session]
    if not rows:
        raise DataError(
            f"{root}: no recordings in the layout SPEAKER/FILE; for SPEAKER/SESSION/FILE set "
            "multi_rec_session to true"
        )
    return rows


def with_epochs(recipe: Recipe, store: Path) -> TrainConfig:
    """The recipe's config, with the number of steps that correspond to its epochs."""
    config, epochs = recipe.config, recipe.run.epochs
    if epochs is None:
        return config
    per_step = config.data.speakers_per_batch * config.data.utterances_per_speaker
    per_step *= config.trainer.gradient_accumulation_steps
    steps = max(1, math.ceil(epochs * len(Store.open(store)) / per_step))
    return replace(config, schedule=replace(config.schedule, steps=steps))
