"""Plots of a run's batches and validations: RUN/plots/*.png."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from timbral.config.schema import TrainConfig
from timbral.data.prepared.base import PreparedData
from timbral.io.types import Ints, Vectors
from timbral.plots import projection
from timbral.plots.scatter import draw_scatter

__all__ = ["LOSS_SPIKE_RATIO", "LossSpikes", "RunPlots", "is_due"]

LOSS_SPIKE_RATIO = 5.0
"""a loss this many times the last one is a spike (ddvc's value)"""
MIN_STEPS_BETWEEN_SPIKES = 100
"""a spike sooner after another one is not plotted"""


def is_due(step: int, every: int | None, since: int = 1) -> bool:
    """Whether one of the last `since` steps is a multiple of `every`."""
    return every is not None and step // every > (step - since) // every


class LossSpikes:
    """Detects steps at which the loss jumps up."""

    def __init__(self) -> None:
        self._last_loss = math.inf
        self._next_step = 0

    def is_spike(self, step: int, loss: float) -> bool:
        """Whether this step's loss is LOSS_SPIKE_RATIO times the last one."""
        if not math.isfinite(loss):  # the step was skipped
            return False
        spike = loss >= LOSS_SPIKE_RATIO * self._last_loss and step >= self._next_step
        if spike:
            self._next_step = step + MIN_STEPS_BETWEEN_SPIKES
        self._last_loss = loss
        return spike


class RunPlots:
    """Plots of embeddings in a plane, with a color per speaker."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        self._folder = run / "plots"
        self._config = config.tracking
        self._validate_every = config.trainer.validate_every
        self._spikes = LossSpikes()

    def batch_plots_due(self, step: int, loss: float) -> list[str]:
        """Names of the plots due for a step's batch: train, loss_spike.

        A spike is plotted only if plots are configured.
        """
        due = {
            "train": is_due(step, self._config.plot_every),
            "loss_spike": self._spikes.is_spike(step, loss) and self._config.plot_every is not None,
        }
        return [name for name, wanted in due.items() if wanted]

    def validation_plot_due(self, step: int) -> bool:
        """Whether a validation plot has been due since the last validation."""
        return is_due(step, self._config.validation_plot_every, self._validate_every)

    def draw(self, name: str, step: int, vectors: Vectors, data: PreparedData, rows: Ints) -> Path:
        """Plot vectors (N, E) of rows of prepared data; returns the PNG file."""
        speakers = [data.speaker_names[code] for code in data.speaker_codes[rows]]
        utterances = data.table["utterance"].take(rows).to_pylist()
        path = self._folder / f"{name}_{step:06d}.png"
        draw_scatter(
            projection.project(np.asarray(vectors), neighbors=max(2, len(vectors) - 1)),
            speakers,
            path,
            title=f"{name}, step {step}",
            names=utterances if self._config.label_points else (),
        )
        return path
