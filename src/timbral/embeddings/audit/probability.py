"""Convert scores to probabilities: logistic regression, with a prior estimated from the data."""

from __future__ import annotations

import numpy as np

from timbral.io.types import Floats

__all__ = ["posteriors", "probabilities", "probabilities_of_few"]

RIDGE = 1e-2
"""keeps the weights finite if wrong and right scores do not overlap"""


def probabilities(
    scores: Floats,
    wrong: Floats,
    right: Floats,
    prior: float,
    counts: Floats | None = None,
    right_counts: Floats | None = None,
) -> Floats:
    """Probability (N,) that each row of `scores` (N, D) is wrong rather than right.

    `counts` (N,) and `right_counts` (R,) say how often each row occurs; None: once.

    A logistic regression is fitted to scores known to be `wrong` (W, D) and `right` (R, D), with
    equal total weights. It gives likelihood ratios (Brümmer and du Preez, Computer Speech &
    Language, 2006). The fraction of wrong `scores` is then estimated by expectation-maximization,
    starting from `prior` (Saerens et al., Neural Computation, 2002).
    """
    of_right = np.ones(len(right)) if right_counts is None else right_counts
    return posteriors(_log_likelihood_ratios(scores, wrong, right, of_right), prior, counts)


def posteriors(log_ratios: Floats, prior: float, counts: Floats | None = None) -> Floats:
    """Probabilities (N,) from log-likelihood ratios (N,).

    The fraction of wrong ones is estimated by expectation-maximization, starting from `prior`
    (Saerens et al., 2002). `counts` (N,) says how often each row occurs; None: once.
    """
    each = np.ones(len(log_ratios)) if counts is None else counts
    total = each.sum()
    prevalence = prior
    for _ in range(100):
        log_odds = log_ratios + np.log(prevalence / (1 - prevalence))
        posterior = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -60, 60)))
        updated = float(np.clip(posterior @ each / total, 0.1 / (total + 1), 0.5))
        if abs(updated - prevalence) < 1e-9:
            break
        prevalence = updated
    return np.asarray(posterior)


def probabilities_of_few(
    cosines: Floats,
    wrong: Floats,
    prior: float,
    *,
    wrong_is_low: bool,
    counts: Floats | None = None,
) -> Floats:
    """Probability (N,) that each of `cosines` (N,) is wrong, as `wrong` (W,) are; few should be.

    `counts` (N,) says how often each cosine occurs; None: once.

    The other cosines serve as examples of right ones: at first those beyond nearly all (95 %) of
    the `wrong` ones, then those that are probably right.
    """
    edge = np.quantile(wrong, 0.95 if wrong_is_low else 0.05)
    trusted = cosines > edge if wrong_is_low else cosines < edge
    scores = cosines[:, None]
    each = np.ones(len(cosines)) if counts is None else counts
    probability = (~trusted).astype(np.float64)
    for _ in range(3):
        if each[trusted].sum() < 2:
            return np.zeros(len(cosines))  # nothing tells wrong and right apart
        probability = probabilities(
            scores, wrong[:, None], scores[trusted], prior, each, each[trusted]
        )
        trusted = probability < 0.5
    return probability


def _log_likelihood_ratios(
    scores: Floats, wrong: Floats, right: Floats, right_counts: Floats
) -> Floats:
    known = np.concatenate([wrong, right])
    counts = np.concatenate([np.ones(len(wrong)), right_counts])
    center = np.average(known, axis=0, weights=counts)
    scale = np.sqrt(np.average((known - center) ** 2, axis=0, weights=counts)) + 1e-9

    def design_of(rows: Floats) -> Floats:
        return np.column_stack([(rows - center) / scale, np.ones(len(rows))])

    design = design_of(known)
    target = np.repeat([1.0, 0.0], [len(wrong), len(right)])
    # Wrong and right weigh the same, so that the fitted log odds are log likelihood ratios.
    weight = np.append(
        np.full(len(wrong), 0.5 / len(wrong)), 0.5 * right_counts / right_counts.sum()
    )
    ridge = RIDGE * np.eye(design.shape[1]) / counts.sum()
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
