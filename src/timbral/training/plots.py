"""Pictures and clips of a run, for people to look at and to listen to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from timbral.config.schema import TrainConfig
from timbral.data.batches.batch import Batch, WaveBatch
from timbral.data.prepared.base import PreparedData
from timbral.plots import projection
from timbral.plots.scatter import draw_scatter
from timbral.training.trackers.base import Tracker

__all__ = ["Gallery"]

EXPLODES = 5.0
"""A loss so many times the last one is worth a picture (ddvc's figure)."""
EXPLOSIONS_APART = 100
"""steps between two such pictures, at least"""


class Gallery:
    """Draws batches and validations into RUN/pictures and gives them to trackers."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.trackers: list[Tracker] = []
        self._folder = folder / "pictures"
        self._config = config.tracking
        self._validate_every = config.trainer.validate_every
        self._last_loss = math.inf
        self._next_explosion = 0

    def batch(
        self,
        step: int,
        batch: Batch,
        embeddings: Tensor,
        loss: float,
        store: PreparedData,
    ) -> None:
        """A training batch, augmented as the encoder hears it, and its embeddings (B, E).

        Where pictures are asked for at all, a batch is drawn too when its loss explodes.
        """
        rows = batch.rows.cpu().numpy()
        if _due(step, 1, self._config.plot_every):
            self._draw("train", step, embeddings.float().cpu().numpy(), store, rows)
        if self._explodes(step, loss) and self._config.plot_every is not None:
            self._draw("exploding_loss", step, embeddings.float().cpu().numpy(), store, rows)
        if isinstance(batch, WaveBatch) and _due(step, 1, self._config.audio_every):
            names = store.table["utterance"].take(rows).to_pylist()
            for index, (name, wave) in enumerate(zip(names, batch.waves.cpu(), strict=True)):
                for tracker in self.trackers:
                    tracker.clip(step, f"batch/{index:03d}-{Path(name).name}", wave.numpy())

    def _explodes(self, step: int, loss: float) -> bool:
        if not math.isfinite(loss):  # a skipped step
            return False
        exploded = loss >= EXPLODES * self._last_loss and step >= self._next_explosion
        if exploded:
            self._next_explosion = step + EXPLOSIONS_APART
        self._last_loss = loss
        return exploded

    def validation(
        self,
        step: int,
        vectors: NDArray[np.float32],
        store: PreparedData,
        rows: NDArray[np.int64],
    ) -> None:
        """Vectors (N, E) of a validation and their rows of the store."""
        if _due(step, self._validate_every, self._config.validation_plot_every):
            self._draw("validation", step, vectors, store, rows)

    def _draw(
        self,
        name: str,
        step: int,
        vectors: NDArray[np.float32],
        store: PreparedData,
        rows: NDArray[np.int64],
    ) -> None:
        speakers = [store.speaker_names[code] for code in store.speaker_codes[rows]]
        utterances = store.table["utterance"].take(rows).to_pylist()
        path = self._folder / f"{name}_{step:06d}.png"
        points = projection.project(vectors, neighbors=max(2, len(vectors) - 1))
        draw_scatter(
            points,
            speakers,
            path,
            title=f"{name}, step {step}",
            names=utterances if self._config.label_points else (),
        )
        for tracker in self.trackers:
            tracker.picture(step, f"umap/{name}", path)


def _due(step: int, since: int, every: int | None) -> bool:
    """Whether a multiple of `every` lies among the last `since` steps."""
    return every is not None and step // every > (step - since) // every
