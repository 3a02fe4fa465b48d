"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.training.trackers.base import RunInfo, grouped

__all__ = ["TensorBoardTracker"]


class TensorBoardTracker:
    """Event files for TensorBoard, under RUN/tensorboard."""

    def __init__(self, run: RunInfo) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides what a killed run had written beyond its last checkpoint
        first = run.first_step + 1 if run.first_step else None
        self._writer: Any = SummaryWriter(str(run.folder / "tensorboard"), purge_step=first)
        for key, value in run.parameters().items():
            self._writer.add_text(f"config/{key}", value, run.first_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in grouped(values).items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a killed run, or one stopped inside an import, closes nothing

    def plot(self, step: int, name: str, path: Path) -> None:
        from matplotlib.image import imread

        self._writer.add_image(name, imread(path), step, dataformats="HWC")

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        self._writer.add_audio(name, wave[None], step, sample_rate=SAMPLE_RATE)

    def close(self) -> None:
        self._writer.close()
