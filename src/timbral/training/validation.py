"""Judging an encoder while it trains, on utterances of speakers that training never sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from timbral.data.prepared.base import PreparedData
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.packing import unpack_weights
from timbral.errors import DataError
from timbral.inference.embedder import Embedder
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.scoring.metrics import eer, min_dcf
from timbral.scoring.trials import draw_pairs

__all__ = ["make_validation"]

Show = Callable[[NDArray[np.float32], NDArray[np.int64]], None]

UTTERANCES_PER_SPEAKER = 20  # enough for a steady error rate, few enough to be quick


def make_validation(
    store: PreparedData,
    rows: NDArray[np.int64],
    encoder: SpeakerEncoder,
    show: Show = lambda vectors, rows: None,
) -> Callable[[], dict[str, float]]:
    """A function that judges `encoder` on trials drawn once among the held-out utterances.

    `show` gets the vectors and the rows of the store that they belong to.
    """
    kept: list[int] = []
    for speaker in np.unique(store.speaker_codes[rows]):
        own = rows[store.speaker_codes[rows] == speaker]
        kept += own[:: max(1, len(own) // UTTERANCES_PER_SPEAKER)][:UTTERANCES_PER_SPEAKER].tolist()
    speakers = [store.speaker_names[store.speaker_codes[row]] for row in kept]
    try:
        pairs = np.array(draw_pairs(speakers))
    except DataError as error:
        raise DataError(
            f"the validation speakers will not do: {error}; name others with "
            "--validation-speakers, or 0 for no validation"
        ) from None

    def validate() -> dict[str, float]:
        embedder = Embedder(encoder, store.preprocessing, device=next(encoder.parameters()).device)
        vectors = store.embed(embedder, kept)
        unpack_weights(encoder)  # it goes on learning
        show(vectors, np.array(kept))
        scores = np.einsum("ne,ne->n", vectors[pairs[:, 1]], vectors[pairs[:, 2]])
        rate, threshold = eer(scores, pairs[:, 0])
        return {
            "val_loss": _ge2e(vectors, speakers),
            "val_eer": rate,
            "val_threshold": threshold,
            "val_min_dcf": min_dcf(scores, pairs[:, 0]),
        }

    return validate


def _ge2e(vectors: NDArray[np.float32], speakers: Sequence[str]) -> float:
    """GE2E softmax at the paper's w = 10, b = -5, so that it compares across runs and losses.

    All speakers with two utterances or more count, each with as many as the one of fewest.
    """
    counts = Counter(speakers)
    per_speaker = min(count for count in counts.values() if count > 1)
    names = [name for name, count in counts.items() if count > 1]
    rows = [
        row
        for name in names
        for row in [row for row, own in enumerate(speakers) if own == name][:per_speaker]
    ]
    labels = torch.arange(len(names)).repeat_interleave(per_speaker)
    with torch.no_grad():
        return float(GE2ELoss(GE2EConfig())(torch.from_numpy(vectors[rows]), labels))
