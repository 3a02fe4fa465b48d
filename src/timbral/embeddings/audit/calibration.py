"""From scores to probabilities: logistic regression, then the prior of the data at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scores", "probabilities", "probabilities_of_few"]

Scores = NDArray[np.float64]

RIDGE = 1e-2
"""keeps the weights finite where the two kinds are wholly apart"""


def probabilities(found: Scores, wrong: Scores, right: Scores, prior: float) -> Scores:
    """Probability (N,) that each score (N, D) in `found` is of the kind `wrong`.

    `wrong` and `right` are scores of known kind, on which a logistic regression is fitted, both
    kinds weighing the same. It gives likelihood ratios (Brümmer and du Preez, Computer Speech &
    Language, 2006). How frequent the wrong kind is in `found` is then estimated by expectation
    and maximization from `prior` on (Saerens et al., Neural Computation, 2002).
    """
    evidence = _log_likelihood_ratios(found, wrong, right)
    share = prior
    for _ in range(100):
        posterior = 1.0 / (1.0 + np.exp(-np.clip(evidence + np.log(share / (1 - share)), -60, 60)))
        new = float(np.clip(posterior.mean(), 0.1 / (len(found) + 1), 0.5))
        if abs(new - share) < 1e-9:
            break
        share = new
    return np.asarray(posterior)


def probabilities_of_few(cosines: Scores, wrong: Scores, prior: float, *, low: bool) -> Scores:
    """Probability (N,) that each of `cosines` (N,) is of the kind `wrong` (M,), which few are.

    The others are their own example of what is right: at first those that lie beyond nearly all
    (95 %) of the `wrong` ones, then those more probably right. `low`: wrong ones are lower.
    """
    edge = np.quantile(wrong, 0.95 if low else 0.05)
    trusted = cosines > edge if low else cosines < edge
    found = cosines[:, None]
    probability = (~trusted).astype(np.float64)
    for _ in range(3):
        if trusted.sum() < 2:
            return np.zeros(len(cosines))  # nothing tells the two kinds apart
        probability = probabilities(found, wrong[:, None], found[trusted], prior)
        trusted = probability < 0.5
    return probability


def _log_likelihood_ratios(found: Scores, wrong: Scores, right: Scores) -> Scores:
    known = np.concatenate([wrong, right])
    center, scale = known.mean(axis=0), known.std(axis=0) + 1e-9

    def inputs(scores: Scores) -> Scores:
        return np.column_stack([(scores - center) / scale, np.ones(len(scores))])

    design = inputs(known)
    target = np.repeat([1.0, 0.0], [len(wrong), len(right)])
    weight = np.repeat([0.5 / len(wrong), 0.5 / len(right)], [len(wrong), len(right)])
    ridge = RIDGE * np.eye(design.shape[1]) / len(known)
    ridge[-1, -1] = 1e-9
    beta = np.zeros(design.shape[1])
    for _ in range(50):  # Newton's method
        fitted = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -60, 60)))
        slope = design.T @ (weight * (fitted - target)) + ridge @ beta
        curvature = (design.T * (weight * fitted * (1 - fitted))) @ design + ridge
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(beta)), slope)
        beta -= step * min(1.0, 5.0 / (np.linalg.norm(step) + 1e-12))
        if np.linalg.norm(step) < 1e-8:
            break
    return np.asarray(inputs(found) @ beta)  # both kinds weigh the same: log odds are the ratio
