"""Error rates at thresholds, and their upper bounds for other speakers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from timbral.calibration.calibration import OperatingPoint
from timbral.io.types import Floats, Ints
from timbral.scoring.intervals import SpeakerBootstrap
from timbral.scoring.rate_bounds import upper_bounds

__all__ = ["operating_points"]

LLR_STEP = 0.1
"""nats between operating points"""


def operating_points(
    bootstrap: SpeakerBootstrap, llrs: Floats, labels: Ints, first: Ints, second: Ints
) -> tuple[OperatingPoint, ...]:
    """Rates and their bounds at thresholds every tenth of a nat.

    `llrs`, `labels` (1: target), `first` and `second` (speaker numbers), each (N,), are those of
    `bootstrap`.
    """
    target = labels == 1
    grid = np.arange(np.floor(llrs.min()), np.ceil(llrs.max()) + LLR_STEP, LLR_STEP)
    at = np.unique(np.searchsorted(bootstrap.lows, grid))
    at = at[at < len(bootstrap.lows)]
    thresholds = bootstrap.lows[at]
    pairs = np.stack((first[~target], second[~target]))
    distinct_pairs = np.unique(np.sort(pairs, axis=0), axis=1).shape[1]
    speakers = len(np.unique(first[target]))
    columns: Iterator[tuple[Floats, Floats]] = (
        (rates, upper_bounds(rates, bootstrap.values(figure), num_trials, independent))
        for rates, figure, num_trials, independent in (
            (
                _rate_from(np.sort(llrs[~target]), thresholds),
                lambda miss, false_alarm: false_alarm[:, at],
                int((~target).sum()),
                distinct_pairs,
            ),
            (
                1.0 - _rate_from(np.sort(llrs[target]), thresholds),
                lambda miss, false_alarm: miss[:, at],
                int(target.sum()),
                speakers,
            ),
        )
    )
    (accept, accept_bound), (reject, reject_bound) = columns
    accept_bound = np.minimum.accumulate(accept_bound)  # a stricter threshold accepts no more
    reject_bound = np.maximum.accumulate(reject_bound)
    rows = zip(thresholds, accept, accept_bound, reject, reject_bound, strict=True)
    return tuple(OperatingPoint(*(float(f"{value:.6g}") for value in row)) for row in rows)


def _rate_from(scores: Floats, thresholds: Floats) -> Floats:
    """The fraction of sorted scores that reach each threshold."""
    return 1.0 - np.searchsorted(scores, thresholds) / len(scores)
