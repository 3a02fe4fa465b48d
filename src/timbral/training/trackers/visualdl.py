"""VisualDL, PaddlePaddle's TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, Wave
from timbral.training.trackers.base import RunInfo, grouped

__all__ = ["VisualdlTracker"]


class VisualdlTracker:
    """VisualDL, under RUN/visualdl."""

    def __init__(self, run: RunInfo) -> None:
        from visualdl import LogWriter

        self._writer: Any = LogWriter(logdir=str(run.folder / "visualdl"))
        for key, value in run.parameters().items():
            self._writer.add_text(f"config/{key}", value, run.first_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in grouped(values).items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a killed run, or one stopped inside an import, closes nothing

    def plot(self, step: int, name: str, path: Path) -> None:
        from matplotlib.image import imread

        pixels = (255 * imread(path)[:, :, :3]).astype("uint8")
        self._writer.add_image(name, pixels, step)

    def audio(self, step: int, name: str, wave: Wave, caption: str) -> None:
        self._writer.add_audio(name, wave, step, SAMPLE_RATE)

    def close(self) -> None:
        self._writer.close()
