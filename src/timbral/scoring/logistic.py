"""Weighted, regularized logistic regression: few coefficients from many trials."""

from __future__ import annotations

import numpy as np

from timbral.calibration.log_odds import probability_of
from timbral.errors import DataError
from timbral.io.types import Floats, Ints

__all__ = ["fit_logistic"]

MAX_STEPS = 100
TOLERANCE = 1e-9


def fit_logistic(features: Floats, labels: Ints, weights: Floats, penalty: Floats) -> Floats:
    """Coefficients (K,) that minimize the weighted logistic loss plus a quadratic penalty.

    The loss is the sum of weights · log(1 + exp(∓ features @ c)) over rows, plus penalty @ c² / 2.
    Newton's method; the loss is convex, so the result does not depend on the start.

    Args:
        features: (N, K)
        labels: (N,), 1 or 0
        weights: (N,), not negative
        penalty: (K,), not negative

    Raises DataError when it does not converge, for example for scores that separate both labels
    without error, without a penalty.
    """
    coefficients = np.zeros(features.shape[1])
    value = _loss(coefficients, features, labels, weights, penalty)
    for _ in range(MAX_STEPS):
        probability = probability_of(features @ coefficients)
        gradient = features.T @ (weights * (probability - labels)) + penalty * coefficients
        curvature = weights * probability * (1.0 - probability)
        hessian = (features * curvature[:, None]).T @ features + np.diag(penalty)
        step, *_ = np.linalg.lstsq(hessian, gradient, rcond=None)
        fraction = 1.0
        while True:  # a whole step may overshoot far from the minimum
            new = coefficients - fraction * step
            new_value = _loss(new, features, labels, weights, penalty)
            if new_value <= value or fraction < 1e-6:
                break
            fraction /= 2
        change = value - new_value
        coefficients, value = new, new_value
        if change <= TOLERANCE * max(value, 1e-12):
            return coefficients
    raise DataError(
        "logistic regression does not converge, because target and non-target scores do not "
        "overlap; more trials, or harder ones, are needed"
    )


def _loss(
    coefficients: Floats, features: Floats, labels: Ints, weights: Floats, penalty: Floats
) -> float:
    llr = features @ coefficients
    of_rows = np.logaddexp(0.0, np.where(labels == 1, -llr, llr))
    return float(weights @ of_rows + penalty @ coefficients**2 / 2)
