"""From scores to probabilities: logistic regression, then the prior of the data at hand."""

from __future__ import annotations

import numpy as np

from timbral.io.types import Floats

__all__ = ["probabilities", "probabilities_of_few"]

RIDGE = 1e-2
"""keeps the weights finite where wrong and right scores do not overlap"""


def probabilities(scores: Floats, wrong: Floats, right: Floats, prior: float) -> Floats:
    """Probability (N,) that each row of `scores` (N, D) is wrong rather than right.

    A logistic regression is fitted on scores known to be `wrong` (W, D) and `right` (R, D), both
    weighing the same in all. It gives likelihood ratios (Brümmer and du Preez, Computer Speech &
    Language, 2006). How many of `scores` are wrong is then estimated by expectation-maximization,
    from `prior` on (Saerens et al., Neural Computation, 2002).
    """
    log_ratios = _log_likelihood_ratios(scores, wrong, right)
    prevalence = prior
    for _ in range(100):
        log_odds = log_ratios + np.log(prevalence / (1 - prevalence))
        posterior = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -60, 60)))
        updated = float(np.clip(posterior.mean(), 0.1 / (len(scores) + 1), 0.5))
        if abs(updated - prevalence) < 1e-9:
            break
        prevalence = updated
    return np.asarray(posterior)


def probabilities_of_few(
    cosines: Floats, wrong: Floats, prior: float, *, wrong_is_low: bool
) -> Floats:
    """Probability (N,) that each of `cosines` (N,) is wrong, as `wrong` (W,) are; few should be.

    The others serve as examples of what is right: at first those that lie beyond nearly all (95 %)
    of the `wrong` ones, then those more probably right.
    """
    edge = np.quantile(wrong, 0.95 if wrong_is_low else 0.05)
    trusted = cosines > edge if wrong_is_low else cosines < edge
    scores = cosines[:, None]
    probability = (~trusted).astype(np.float64)
    for _ in range(3):
        if trusted.sum() < 2:
            return np.zeros(len(cosines))  # nothing tells wrong and right apart
        probability = probabilities(scores, wrong[:, None], scores[trusted], prior)
        trusted = probability < 0.5
    return probability


def _log_likelihood_ratios(scores: Floats, wrong: Floats, right: Floats) -> Floats:
    known = np.concatenate([wrong, right])
    center, scale = known.mean(axis=0), known.std(axis=0) + 1e-9

    def design_of(rows: Floats) -> Floats:
        return np.column_stack([(rows - center) / scale, np.ones(len(rows))])

    design = design_of(known)
    target = np.repeat([1.0, 0.0], [len(wrong), len(right)])
    # Wrong and right weigh the same, so that the fitted log odds are log likelihood ratios.
    weight = np.repeat([0.5 / len(wrong), 0.5 / len(right)], [len(wrong), len(right)])
    ridge = RIDGE * np.eye(design.shape[1]) / len(known)
    ridge[-1, -1] = 1e-9
    beta = np.zeros(design.shape[1])
    for _ in range(50):  # Newton's method
        fitted = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -60, 60)))
        gradient = design.T @ (weight * (fitted - target)) + ridge @ beta
        hessian = (design.T * (weight * fitted * (1 - fitted))) @ design + ridge
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(beta)), gradient)
        beta -= step * min(1.0, 5.0 / (np.linalg.norm(step) + 1e-12))
        if np.linalg.norm(step) < 1e-8:
            break
    return np.asarray(design_of(scores) @ beta)
