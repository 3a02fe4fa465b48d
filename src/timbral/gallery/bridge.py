"""A linear map from one encoder's vectors to another's, fitted to recordings embedded by both.

Old and new vectors are centered; X and Y are those of the same recordings. There are two ridge
regressions, each regularized toward the rotation between both spaces (orthogonal Procrustes,
Schönemann 1966) instead of toward zero:

    W = argmin ‖X W - Y‖² + λ s ‖W - R‖²,   R the scaled rotation nearest to X → Y, s = tr(XᵀX) / E,
    V = argmin ‖Y V - X‖² + λ t ‖V - Q‖²    likewise from the new space to the old one.

With few speakers, only a rotation can be estimated (λ → ∞); with many, the regression is better
(λ → 0). λ is chosen by the EER of trials between old and new vectors of held-out speakers.

W finds the directions of an old vector that are informative in the new space, V those of a new
vector that are informative in the old one. Both are used, and a voice x (of unit length) is mapped
to a single vector v:

    v = x W / |x W| + x Vᵀ,   score = v · y / |y V|,   V scaled so that |y V| is 1 on average.

The second summand contributes the cosine of x and y V in the old space. Both together make a fifth
fewer errors than the first alone (docs/gallery.md). A gallery stores directions only; the length of
v is recovered from its origin x = v (W / w + Vᵀ)⁺, which has length 1; w is the mean of |x W|.

New vectors are also centered for comparison with mapped ones, because the mean of a domain's voices
and lines differs between the two spaces, which no linear map can express. So each corpus of a
bridge is centered by its own mean.

Speakers are needed only to choose λ and to calibrate. Recordings of unknown speakers that both
encoders embedded are as useful for fitting the map, most of all if they are similar to the
gallery's (docs/gallery.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.io.types import Floats, Ints, Vectors
from timbral.scoring.metrics import eer

__all__ = [
    "FOLDS",
    "MIN_SPEAKERS",
    "Bridge",
    "Unlabeled",
    "fit_bridge",
    "fold_of",
    "held_out_scores",
    "pairs_within",
    "weighed",
]

FOLDS = 5
MIN_SPEAKERS = 20
"""minimum number of speakers with two recordings that both encoders embedded; fewer do not
generalize"""
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LEAST_LENGTH = 0.25
"""lower limit of a product's length, as a fraction of the mean: shorter products are scaled like
those"""
LEAST_SINGULAR = 1e-3
"""singular values below this fraction of the highest are not inverted"""
NONTARGETS = 20
"""pairs with other speakers per recording, to choose the penalty"""


@dataclass(frozen=True)
class Bridge:
    """A map from old unit vectors (N, E) to new unit vectors (N, F)."""

    old_mean: Floats
    """(E,)"""
    new_mean: Floats
    """(F,)"""
    matrix: Floats
    """W (E, F)"""
    backward: Floats
    """V (F, E)"""
    origin: Floats
    """(F, E), from a voice's direction back to its old vector"""
    penalty: float
    cross_eer: float
    """EER of trials between an old and a new vector, of one recording each, of held-out speakers"""
    least_carried: float = 0.0
    """`carried` is at least this for 95 % of the recordings of held-out speakers"""

    def carried(self, old: Vectors, old_mean: Floats | None = None) -> Floats:
        """The fraction (N,) of the length of centered vectors (N, E) that the map keeps."""
        centered = unit_length(old) - (self.old_mean if old_mean is None else old_mean)
        mapped = np.linalg.norm(centered @ self.matrix, axis=1)
        return np.asarray(mapped / np.maximum(np.linalg.norm(centered, axis=1), 1e-9))

    def map(self, old: Vectors, old_mean: Floats | None = None) -> Vectors:
        """Map vectors (N, E) to directions (N, F) of unit length in the centered new space.

        `old_mean` (E,) is the mean of vectors like these; None: the bridge's.
        """
        mean = self.old_mean if old_mean is None else old_mean
        voices = unit_length(unit_length(old) - mean)
        return unit_length(unit_length(voices @ self.matrix) + voices @ self.backward.T)

    def scores(self, directions: Vectors, new: Vectors) -> Floats:
        """The scores of directions (N, F) from `map` and new vectors (N, F)."""
        voices = weighed(directions, self.origin)
        searched = weighed(np.asarray(unit_length(new) - self.new_mean), self.backward)
        return np.asarray(np.einsum("nf,nf->n", voices, searched), np.float64)

    def uncenter(self, directions: Vectors) -> Vectors:
        """The unit vectors (N, F) in the new space that have these directions when centered.

        v = t d + mean with |v| = 1: t is the positive root of t² + 2 t d·mean + |mean|² = 1.
        """
        along = directions @ self.new_mean
        root = np.sqrt(along**2 + 1.0 - self.new_mean @ self.new_mean) - along
        return unit_length(root[:, None] * directions + self.new_mean)


@dataclass(frozen=True)
class Unlabeled:
    """Recordings of one corpus that both encoders embedded, of unknown speakers."""

    old: Vectors
    """(M, E)"""
    new: Vectors
    """(M, F)"""

    @property
    def centered(self) -> tuple[Floats, Floats]:
        """The vectors at unit length, without the mean of each side."""
        one = unit_length(self.old).astype(np.float64)
        other = unit_length(self.new).astype(np.float64)
        return one - one.mean(axis=0), other - other.mean(axis=0)


def fit_bridge(
    old: Vectors,
    new: Vectors,
    speakers: Sequence[str],
    *,
    unlabeled: Sequence[Unlabeled] = (),
    seed: int = 0,
) -> Bridge:
    """Fit a map from the same recordings in both spaces: (N, E), (N, F), and speakers (N,).

    It is also fitted to the further corpora `unlabeled`. Raises DataError for fewer than
    `MIN_SPEAKERS` speakers with two recordings or more.
    """
    numbers = np.unique(np.asarray(speakers), return_inverse=True)[1]
    several = int((np.bincount(numbers) > 1).sum())
    if several < MIN_SPEAKERS:
        raise DataError(
            f"bridge: both tables need at least {MIN_SPEAKERS} speakers with two recordings each; "
            f"they have {several}"
        )
    one, other = unit_length(old), unit_length(new)
    folds = fold_of(numbers, seed)
    first, second = pairs_within(numbers, folds, NONTARGETS, seed)
    same = (numbers[first] == numbers[second]).astype(np.int64)
    found = [
        eer(_held_out_scores(one, other, folds, first, second, penalty, unlabeled), same)[0]
        for penalty in PENALTIES
    ]
    best = int(np.argmin(found))
    held_out = np.concatenate(
        [
            _fit(one[folds != fold], other[folds != fold], PENALTIES[best], unlabeled).carried(
                one[folds == fold]
            )
            for fold in range(FOLDS)
        ]
    )
    whole = _fit(one, other, PENALTIES[best], unlabeled)
    return replace(whole, cross_eer=found[best], least_carried=float(np.percentile(held_out, 5)))


def _fit(old: Vectors, new: Vectors, penalty: float, unlabeled: Sequence[Unlabeled] = ()) -> Bridge:
    x, y = old.astype(np.float64), new.astype(np.float64)
    old_mean, new_mean = x.mean(axis=0), y.mean(axis=0)
    others = [each.centered for each in unlabeled]
    x = np.concatenate([x - old_mean, *(each for each, _ in others)])
    y = np.concatenate([y - new_mean, *(each for _, each in others)])
    matrix, backward = _regression(x, y, penalty), _regression(y, x, penalty)
    backward /= _mean_length(unit_length(y) @ backward)
    voices = unit_length(x)
    both = matrix / _mean_length(voices @ matrix) + backward.T
    origin: Floats = np.linalg.pinv(both, rcond=LEAST_SINGULAR).astype(np.float64)
    origin /= _mean_length(unit_length(voices @ both) @ origin)
    return Bridge(old_mean, new_mean, matrix, backward, origin, penalty, math.nan)


def _mean_length(vectors: Floats) -> float:
    return max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-12)


def _regression(x: Floats, y: Floats, penalty: float) -> Floats:
    """The regression W (E, F) from X (N, E) to Y (N, F)."""
    inner, across = x.T @ x, x.T @ y
    left, values, right = np.linalg.svd(across, full_matrices=False)
    rotation = left @ right
    rotation *= values.sum() / max(float(np.sum((inner @ rotation) * rotation)), 1e-12)
    size = penalty * np.trace(inner) / len(inner)
    return np.linalg.solve(inner + size * np.eye(len(inner)), across + size * rotation)


def weighed(vectors: Vectors | Floats, matrix: Floats) -> Vectors:
    """Vectors (N, F) scaled so that their product with `matrix` (F, E) has length 1."""
    directions = unit_length(vectors)
    lengths = np.linalg.norm(directions @ matrix, axis=1, keepdims=True)
    return np.asarray(directions / np.maximum(lengths, LEAST_LENGTH))


def _held_out_scores(
    old: Vectors,
    new: Vectors,
    folds: Ints,
    first: Ints,
    second: Ints,
    penalty: float,
    unlabeled: Sequence[Unlabeled],
) -> Floats:
    """Scores (P,) of old vectors, mapped without their speakers' fold, and new ones."""
    scores = np.zeros(len(first))
    for fold in range(FOLDS):
        fitted = _fit(old[folds != fold], new[folds != fold], penalty, unlabeled)
        rows = np.flatnonzero(folds[first] == fold)
        scores[rows] = fitted.scores(fitted.map(old[first[rows]]), new[second[rows]])
    return scores


def held_out_scores(
    bridge: Bridge,
    old: Vectors,
    new: Vectors,
    folds: Ints,
    first: Ints,
    second: Ints,
    unlabeled: Sequence[Unlabeled] = (),
) -> Floats:
    """Scores (P,) of pairs of old and new vectors, by maps fitted on other speakers."""
    return _held_out_scores(
        unit_length(old), unit_length(new), folds, first, second, bridge.penalty, unlabeled
    )


def fold_of(speakers: Ints, seed: int) -> Ints:
    """The fold (N,) of each recording, which is that of its speaker."""
    folds = np.arange(int(speakers.max()) + 1) % FOLDS
    return np.asarray(np.random.default_rng(seed).permutation(folds)[speakers])


def pairs_within(speakers: Ints, folds: Ints, nontargets: int, seed: int) -> tuple[Ints, Ints]:
    """Rows of pairs (P,), (P,) within folds: all of one speaker, and some of two speakers each."""
    generator = np.random.default_rng(seed)
    pairs: list[tuple[Ints, Ints]] = []
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds == fold)
        if len(rows) < 2:
            continue
        first = np.repeat(rows, nontargets)
        second = generator.choice(rows, len(first))
        others = speakers[first] != speakers[second]
        pairs.append((first[others], second[others]))
        for speaker in np.unique(speakers[rows]):
            own = rows[speakers[rows] == speaker]
            one, other = np.repeat(own, len(own)), np.tile(own, len(own))
            pairs.append((one[one != other], other[one != other]))
    first, second = (np.concatenate(side).astype(np.intp) for side in zip(*pairs, strict=True))
    return first, second
