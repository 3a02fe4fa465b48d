"""How large an error rate may be for other speakers, when few errors or none were seen.

A bootstrap says nothing where no error was made. So the number of independent trials is estimated
where errors are frequent, from the bootstrap's variance, and a Poisson bound taken of that many
(Korn and Graubard, Confidence intervals for proportions with small expected number of positive
counts estimated from survey data, Survey Methodology 1998).
"""

from __future__ import annotations

import numpy as np
import torch

from timbral.io.types import Floats

__all__ = ["poisson_bounds", "upper_bounds"]

MIN_ERRORS = 20
"""fewer errors than this do not tell how much they depend on each other"""
CONFIDENCE = 0.95
BISECTIONS = 60


def upper_bounds(rates: Floats, drawn: Floats, num_trials: int, max_independent: float) -> Floats:
    """One-sided 95 % bounds of error rates (K,), each in [0, 1].

    Args:
        rates: (K,) as observed
        drawn: (draws, K), the rates in draws of speakers
        num_trials: of the kind that the rates are of
        max_independent: how many of them may count as independent at most, such as the number of
            pairs of speakers
    """
    variance = np.nanvar(drawn, axis=0)
    counted = (rates * num_trials >= MIN_ERRORS) & ((1 - rates) * num_trials >= MIN_ERRORS)
    usable = counted & (variance > 0)
    limit = min(float(num_trials), max_independent)
    independent = np.full(len(rates), limit)
    independent[usable] = rates[usable] * (1 - rates[usable]) / variance[usable]
    if usable.any():  # where errors are rare they depend on each other at least as much
        independent[~usable] = independent[usable].min()
    independent = np.clip(independent, 1.0, limit)
    return np.asarray(np.minimum(poisson_bounds(rates * independent) / independent, 1.0))


def poisson_bounds(counts: Floats) -> Floats:
    """The means (K,) of Poisson distributions that give at most `counts` in 5 of 100 cases."""
    shape = torch.from_numpy(np.asarray(counts, dtype=np.float64)) + 1.0
    low, high = torch.zeros_like(shape), 2.0 * shape + 20.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        is_below = torch.special.gammainc(shape, middle) < CONFIDENCE
        low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
    return np.asarray(high)
