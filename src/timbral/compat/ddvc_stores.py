"""Folders of recordings that ddvc's config names, as stores beside the run."""

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
"""ddvc trains on recordings as they are"""


def prepare_audio(
    run: RunSettings,
    output: Path,
    *,
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Path | None]:
    """Stores of what to train and to validate on, in ``OUTPUT.data``, made once.

    They lie beside the run, not in it, so that they stay where they are when a run is renamed.
    Raises DataError, before anything is written, for a folder without recordings.
    """
    if run.training_audio is None:
        raise ConfigError("data is required: a folder made by `timbral prepare`")
    corpora = {"training": _recordings(run.training_audio, run.sessions)}
    if run.validation_audio is not None:
        corpora["validation"] = _recordings(run.validation_audio, run.sessions)
    beside = output.with_name(f"{output.name}.data")
    for name, rows in corpora.items():
        prepare(rows, beside / name, UNPROCESSED, workers=workers, progress=progress)
    return beside / "training", beside / "validation" if "validation" in corpora else None


def _recordings(root: Path, sessions: bool) -> Sequence[Utterance]:
    """The recordings of a folder by speaker; those in folders below a speaker's only if asked."""
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
    """The recipe's config; epochs become the steps that hold as many utterances."""
    config, epochs = recipe.config, recipe.run.epochs
    if epochs is None:
        return config
    per_step = config.data.speakers_per_batch * config.data.utterances_per_speaker
    per_step *= config.trainer.gradient_accumulation_steps
    steps = max(1, math.ceil(epochs * len(Store.open(store)) / per_step))
    return replace(config, schedule=replace(config.schedule, steps=steps))
