"""Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.training.trackers.base import RunInfo, grouped

__all__ = ["WandbTracker"]


class WandbTracker:
    """Weights & Biases: offline under RUN/wandb unless WANDB_MODE or a login says otherwise."""

    def __init__(self, run: RunInfo) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no reports to third parties
        import wandb

        mode: Any = "online" if os.environ.get("WANDB_API_KEY") else "offline"
        self._wandb = wandb
        self._run: Any = wandb.init(
            project=run.project,
            dir=str(run.folder),
            id=run.id_with("wandb")[0],
            resume="allow",
            mode=os.environ.get("WANDB_MODE", mode),
            config=dict(run.config),
            settings=wandb.Settings(silent=True, disable_git=True, console="off"),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(grouped(values), step=step)

    def plot(self, step: int, name: str, path: Path) -> None:
        self._run.log({name: self._wandb.Image(str(path))}, step=step)

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        clip = self._wandb.Audio(wave, sample_rate=SAMPLE_RATE, caption=caption)
        self._run.log({name: clip}, step=step)

    def close(self) -> None:
        self._run.finish()
