"""Upper bounds of error rates for other speakers, even when few errors or none were seen.

A bootstrap gives no bound where no error was made. So the number of independent trials is estimated
where errors are frequent, from the bootstrap's variance, and a Poisson bound for that many trials
is taken (Korn and Graubard, Confidence intervals for proportions with small expected number of
positive counts estimated from survey data, Survey Methodology 1998).
"""

from __future__ import annotations

import math

import numpy as np

from timbral.io.types import Floats

__all__ = ["poisson_bounds", "upper_bounds"]

MIN_ERRORS = 20
"""errors or correct decisions needed to estimate how much they depend on each other"""
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.6448536269514722
"""quantile of the standard normal distribution at `CONFIDENCE`"""
NEWTON_STEPS = 6


def upper_bounds(rates: Floats, drawn: Floats, num_trials: int, max_independent: float) -> Floats:
    """One-sided 95 % bounds of error rates (K,), each in [0, 1].

    Args:
        rates: (K,) as observed
        drawn: (draws, K), the rates in draws of speakers
        num_trials: number of trials of the kind that the rates are of
        max_independent: the largest number of independent trials, such as the number of pairs of
            speakers
    """
    variance = np.nanvar(drawn, axis=0)
    counted = (rates * num_trials >= MIN_ERRORS) & ((1 - rates) * num_trials >= MIN_ERRORS)
    usable = counted & (variance > 0)
    limit = min(float(num_trials), max_independent)
    independent = np.full(len(rates), limit)
    independent[usable] = rates[usable] * (1 - rates[usable]) / variance[usable]
    if usable.any():  # when errors are rare, they depend on each other at least as much
        independent[~usable] = independent[usable].min()
    independent = np.clip(independent, 1.0, limit)
    return np.asarray(np.minimum(poisson_bounds(rates * independent) / independent, 1.0))


def poisson_bounds(counts: Floats) -> Floats:
    """The means (K,) of Poisson distributions that give at most `counts` in 5 of 100 cases."""
    shape = np.asarray(counts, dtype=np.float64) + 1.0
    # Wilson and Hilferty's approximation is right to 1 % from a shape of 1 on
    mean = shape * (1 - 1 / (9 * shape) + NORMAL_QUANTILE / (3 * np.sqrt(shape))) ** 3
    for _ in range(NEWTON_STEPS):
        probability, density = _gamma(shape, mean)
        mean -= (probability - CONFIDENCE) / density
    return np.asarray(mean)


def _gamma(shape: Floats, value: Floats) -> tuple[Floats, Floats]:
    """A gamma distribution's probability below a value, by its series, and its density (K,)."""
    log_gamma = np.array([math.lgamma(each + 1) for each in shape.flat]).reshape(shape.shape)
    term = np.exp(shape * np.log(value) - value - log_gamma)
    density = term * shape / value
    total, divisor = term.copy(), shape.copy()
    while np.any(term > total * np.finfo(np.float64).eps):
        divisor += 1
        term *= value / divisor
        total += term
    return total, density
