"""A Calibration: what a cosine of one encoder is worth as evidence, and what was promised of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from timbral.calibration.conditions import Conditions, Ranges, pair_features
from timbral.calibration.questions import check_rate
from timbral.embeddings.vectors import project_out, unit_length
from timbral.errors import ConfigError, DataError
from timbral.io.types import Floats, Vectors

__all__ = [
    "NO_PROMISE",
    "Calibration",
    "FittedOn",
    "OperatingPoint",
    "bound_at",
    "design",
    "lowest_scale",
    "promised",
]

NO_PROMISE = "no rate of false accepts is promised of such recordings"
"""said of those outside the ranges of a calibration's data"""


@dataclass(frozen=True)
class OperatingPoint:
    """What deciding at a likelihood ratio costs, on speakers that were not fitted on."""

    llr: float
    """natural logarithm of the likelihood ratio from which the answer is yes"""
    false_accept: float
    """of the non-target trials"""
    false_accept_bound: float
    """what other speakers stay below in 95 of 100 cases"""
    false_reject: float
    """of the target trials"""
    false_reject_bound: float


@dataclass(frozen=True)
class FittedOn:
    """The data behind a Calibration, and how well it does on speakers that it was not fitted on."""

    description: str
    """what the recordings are, in the words of who made it"""
    sha256: str
    """of trials, scores and measures"""
    num_speakers: int
    num_targets: int
    num_nontargets: int
    cllr: float
    """bits, cross-validated over speakers"""
    cllr_low: float
    cllr_high: float
    """95 % interval over speakers"""
    min_cllr: float
    """bits, of the best calibration of these scores that keeps their order"""


@dataclass(frozen=True)
class Calibration:
    """From the cosine of two recordings, and their conditions, to a log-likelihood ratio.

    The llr is linear in the cosine, with an offset and a scale that are linear in the measures of
    both recordings: llr = offset · (1, q) + (scale · (1, q)) · cosine (logistic regression with
    quality measures: Mandasari et al., Quality measure functions for calibration of speaker
    recognition systems in various duration conditions, IEEE TASLP 2013). The cosine may be that of
    vectors without the directions in which lines and rooms move them (`scores`). Holds for one
    encoder's weights and preprocessing, and within the ranges of its data.
    """

    encoder: str
    weights_sha256: str
    embedding_sha256: str
    """of preprocessing and windows"""
    offset: tuple[float, ...]
    """(1,), or (6,): of 1 and `FEATURES`"""
    scale: tuple[float, ...]
    """likewise"""
    ranges: Ranges
    """of the measures among the recordings of the data"""
    limits: tuple[float, float]
    """lowest and highest llr that so much data can show: beyond them nothing was seen"""
    points: tuple[OperatingPoint, ...]
    """in rising order of llr"""
    fitted_on: FittedOn
    nuisance: tuple[tuple[float, ...], ...] = ()
    """(D, E) orthonormal directions that are taken out of both vectors before their cosine; empty:
    none is"""
    measured: bool = True
    """False: nothing is known of its data's conditions, as of vectors of other tools; `ranges` then
    say nothing, and no condition is taken into account"""
    short_seconds: float = 0.0
    """of net speech: a trial of a recording that has less keeps the promises of `short_points`"""
    short_points: tuple[OperatingPoint, ...] = ()
    """as `points`, of such trials alone: at one llr they accept more strangers, as they tell less;
    empty: the data have too few, and `points` are of all trials"""

    @property
    def uses_conditions(self) -> bool:
        return len(self.offset) > 1

    def compensate(self, vectors: Vectors) -> Vectors:
        """Vectors (..., E) whose cosines this calibration is of: unit, without `nuisance`.

        Raises DataError for vectors of another size.
        """
        if not self.nuisance:
            return unit_length(vectors)
        self._check_size(vectors)
        return project_out(vectors, self._directions)

    def scores(self, first: Vectors, second: Vectors) -> Floats:
        """The cosines (N,) that this calibration is of, of vectors (N, E), (1, E) or (E,)."""
        one, other = (np.atleast_2d(self.compensate(side)) for side in (first, second))
        return np.asarray((one * other).sum(axis=1, dtype=np.float64))

    def parts(self, vectors: Vectors) -> Vectors:
        """How long unit vectors (N, E) are along each of the directions `nuisance` (N, D)."""
        self._check_size(vectors)
        return np.asarray(vectors @ self._directions.T)

    def _check_size(self, vectors: Vectors) -> None:
        if vectors.shape[-1] != len(self.nuisance[0]):
            raise DataError(
                f"the calibration takes directions of {len(self.nuisance[0])} dimensions out of "
                f"vectors, and these have {vectors.shape[-1]}: it is of another encoder"
            )

    @cached_property
    def _directions(self) -> Vectors:
        return np.array(self.nuisance, dtype=np.float32)

    def llr(self, scores: ArrayLike, first: Conditions, second: Conditions) -> Floats:
        """Natural log-likelihood ratios (N,) of `scores` (N,): same speaker : different speakers.

        Conditions outside the ranges of the data count as the nearest inside; `warnings` tells
        those below them.
        Ratios end at `limits` (as Vergeer et al. 2016 argue: the data cannot show stronger ones).
        """
        return np.clip(self.unlimited_llr(scores, first, second), *self.limits)

    def unlimited_llr(self, scores: ArrayLike, first: Conditions, second: Conditions) -> Floats:
        """As `llr`, but without ends: what thresholds are compared with."""
        offset, scale = self._line(first, second)
        return np.asarray(offset + scale * np.asarray(scores, dtype=np.float64))

    def cosine(self, llr: float, first: Conditions, second: Conditions) -> Floats:
        """The `scores` (N,) that have this `unlimited_llr` in these conditions."""
        offset, scale = self._line(first, second)
        return np.asarray((llr - offset) / scale)

    def _line(self, first: Conditions, second: Conditions) -> tuple[Floats, Floats]:
        offset, scale = self.lines(self.measures(first), self.measures(second)).T
        return offset, scale

    def measures(self, conditions: Conditions) -> Floats:
        """Of recordings (N, 4), within the ranges, and a 1: what `lines` takes."""
        octaves = self.ranges.clip(conditions).octaves
        return np.concatenate((octaves, np.ones((len(octaves), 1))), axis=1)

    def lines(self, first: Floats, second: Floats) -> Floats:
        """Offset and scale of the llr over the score (N, 2), from `measures` of both sides (N, 4).

        `FEATURES` are linear in the lower and in the higher measure of both sides; as such they
        are taken, since millions of trials have few recordings.
        """
        of_lower, of_higher = self._of_measures
        return np.asarray(
            np.minimum(first, second) @ of_lower + np.maximum(first, second) @ of_higher
        )

    @cached_property
    def _of_measures(self) -> tuple[Floats, Floats]:
        """What offset and scale are of the lower and of the higher measure (4, 2)."""
        of_lower, of_higher = np.zeros((2, 4, 2))
        lines = np.array([self.offset, self.scale]).T
        of_lower[3] = lines[0]
        if self.uses_conditions:
            _, shorter, longer, narrower, difference, noisier = lines
            of_lower[:3] = shorter, narrower - difference, noisier
            of_higher[:2] = longer, difference
        return of_lower, of_higher

    def warnings(self, first: Conditions, second: Conditions) -> list[str]:
        """What of one trial lies below the ranges of the data, in words: more speech, band and less
        noise than they have do no harm.
        """
        if not self.measured:
            return [
                "the calibration knows nothing of its recordings: lengths, lines and noise unlike "
                "theirs go unnoticed"
            ]
        sides = (first, second)
        said = []
        for name, what, unit in (
            ("speech_seconds", "net speech", "s"),
            ("bandwidth_hz", "bandwidth", "Hz"),
            ("snr_db", "speech over noise", "dB"),
        ):
            low, high = getattr(self.ranges, name)
            values = [float(getattr(side, name)[0]) for side in sides]
            if min(values) < low:
                said.append(
                    f"{what} of {_shown(min(values))} {unit} is below what the calibration has "
                    f"seen ({_shown(low)} to {_shown(high)} {unit})"
                )
        return said

    def points_of(self, first: Conditions, second: Conditions) -> tuple[OperatingPoint, ...]:
        """Those of trials like this one: `short_points` where a side has little speech."""
        return self.points_at(min(float(side.speech_seconds[0]) for side in (first, second)))

    def points_at(self, speech_seconds: float) -> tuple[OperatingPoint, ...]:
        """Those of trials whose shorter side has so much net speech."""
        is_short = bool(self.short_points) and speech_seconds < self.short_seconds
        return self.short_points if is_short else self.points

    def threshold(self, false_accept: float) -> OperatingPoint:
        """The lowest llr at which other speakers' false accepts stay below a rate, 95 of 100 times.

        Of the mixture of trials that the data are; `promised` is of trials like one.

        Raises ConfigError for a rate that the data cannot promise, with the one they can, and how
        many speakers it would take.
        """
        return self._accepting(false_accept, self.points)

    def reject_threshold(self, false_reject: float) -> OperatingPoint:
        """The highest llr at which false rejects stay below a rate, 95 of 100 times.

        Raises ConfigError for a rate that the data cannot promise.
        """
        return self._rejecting(false_reject, self.points)

    def thresholds(
        self, false_accept: float, false_reject: float, *, speech_seconds: float
    ) -> tuple[OperatingPoint, OperatingPoint]:
        """`threshold` and `reject_threshold` of trials whose shorter side has so much net speech.

        Raises ConfigError for a rate that the data cannot promise of such.
        """
        points = self.points_at(speech_seconds)
        return self._accepting(false_accept, points), self._rejecting(false_reject, points)

    def _accepting(self, rate: float, points: Sequence[OperatingPoint]) -> OperatingPoint:
        check_rate("false_accept", rate)
        found = promised(rate, points)
        if found is not None:
            return found
        least = min(each.false_accept_bound for each in points)
        raise self._refusal("false_accept", rate, least, points)

    def _rejecting(self, rate: float, points: Sequence[OperatingPoint]) -> OperatingPoint:
        check_rate("false_reject", rate)
        for point in reversed(points):
            if point.false_reject_bound <= rate:
                return point
        least = min(each.false_reject_bound for each in points)
        raise self._refusal("false_reject", rate, least, points)

    def _refusal(
        self, argument: str, rate: float, least: float, points: Sequence[OperatingPoint]
    ) -> ConfigError:
        speakers = self.fitted_on.num_speakers
        needed = math.ceil(speakers * least / rate)
        of = ""
        if points is not self.points:
            of = f" of recordings with less than {self.short_seconds:g} s of net speech"
        return ConfigError(
            f"`{argument}`: {rate:g} cannot be promised{of}: the {speakers:,} speakers of the "
            f"calibration show that it is below {least:.2g} for others, not less; about "
            f"{needed:,} speakers would be needed"
        )

    def false_accept_bound(
        self, llr: float, points: Sequence[OperatingPoint] | None = None
    ) -> float:
        """What false accepts at this threshold stay below, with other speakers, 95 of 100 times.

        `points` are those of the trial; None: of all trials.
        """
        return bound_at(llr, points or self.points)

    def check_encoder(self, weights_sha256: str, embedding_sha256: str, source: str = "") -> None:
        """DataError when this is not a calibration of these weights and preprocessing."""
        where = f"{source}: " if source else ""
        if self.weights_sha256 != weights_sha256:
            raise DataError(
                f"{where}is a calibration of {self.encoder} ({self.weights_sha256[:8]}), not of "
                f"these weights ({weights_sha256[:8]}): cosines of two encoders do not compare"
            )
        if self.embedding_sha256 != embedding_sha256:
            raise DataError(
                f"{where}is a calibration of {self.encoder} with other preprocessing or windows"
            )


def _shown(value: float) -> str:
    """Three digits; of large numbers all."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bound_at(llr: float, points: Sequence[OperatingPoint]) -> float:
    """What false accepts at this llr stay below, by `points` in rising order of llr."""
    below = [point for point in points if point.llr <= llr]
    return below[-1].false_accept_bound if below else 1.0


def promised(false_accept: float, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
    """The first of `points`, in rising order of llr, whose bound keeps a rate; None: none does."""
    return next((each for each in points if each.false_accept_bound <= false_accept), None)


def design(first: Conditions, second: Conditions, columns: int) -> Floats:
    """1 and `FEATURES` of trials (N, 6), or 1 alone (N, 1)."""
    features = pair_features(first, second)
    ones = np.ones((len(features), 1))
    return ones if columns == 1 else np.concatenate((ones, features), axis=1)


def lowest_scale(scale: Floats, ranges: Ranges) -> float:
    """The smallest slope of the llr over the cosine in any conditions within `ranges`.

    `FEATURES` are linear between the corners of the ranges of both sides, which are tried.
    """
    corners = np.array(list(itertools.product(*asdict(ranges).values())))  # (8, 3)
    first, second = np.repeat(corners, len(corners), 0), np.tile(corners, (len(corners), 1))
    features = design(Conditions(*first.T), Conditions(*second.T), len(scale))
    return float((features @ scale).min())
