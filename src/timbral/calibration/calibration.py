"""A Calibration: from cosines of one encoder to likelihood ratios and promised error rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from timbral.calibration.argument_checks import check_rate
from timbral.calibration.conditions import Conditions, Ranges, pair_features
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

NO_PROMISE = "no false accept rate can be promised for such recordings"
"""warning for recordings outside the ranges of a calibration's data"""


@dataclass(frozen=True)
class OperatingPoint:
    """Error rates at a threshold on the likelihood ratio, for held-out speakers."""

    llr: float
    """the threshold: natural logarithm of the likelihood ratio"""
    false_accept: float
    """fraction of the non-target trials"""
    false_accept_bound: float
    """upper bound for new speakers, with 95 % confidence"""
    false_reject: float
    """fraction of the target trials"""
    false_reject_bound: float


@dataclass(frozen=True)
class FittedOn:
    """The data that a Calibration was fitted on, and its quality on held-out speakers."""

    description: str
    """what the recordings are, as given by its author"""
    sha256: str
    """hash of trials, scores and measures"""
    num_speakers: int
    num_targets: int
    num_nontargets: int
    cllr: float
    """Cllr in bits, cross-validated over speakers"""
    cllr_low: float
    cllr_high: float
    """95 % interval over speakers"""
    min_cllr: float
    """Cllr in bits of the best order-preserving calibration of these scores"""


@dataclass(frozen=True)
class Calibration:
    """Maps the cosine of two recordings, and their conditions, to a log-likelihood ratio.

    The llr is linear in the cosine, with an offset and a scale that are linear in the measures q of
    both recordings: llr = offset · (1, q) + (scale · (1, q)) · cosine (logistic regression with
    quality measures: Mandasari et al., Quality measure functions for calibration of speaker
    recognition systems in various duration conditions, IEEE TASLP 2013). The cosine may be taken
    after removing the directions in which channels and rooms move vectors (`scores`). Valid for one
    encoder's weights and preprocessing, within the ranges of its data.
    """

    encoder: str
    weights_sha256: str
    embedding_sha256: str
    """hash of preprocessing and windows"""
    offset: tuple[float, ...]
    """(1,), or (6,): coefficients of 1 and `FEATURES`"""
    scale: tuple[float, ...]
    """coefficients of the slope over the cosine, as many as for `offset`"""
    ranges: Ranges
    """ranges of the measures in the data"""
    limits: tuple[float, float]
    """lowest and highest llr that this amount of data can support"""
    points: tuple[OperatingPoint, ...]
    """error rates and their bounds at thresholds, in rising order of llr"""
    fitted_on: FittedOn
    nuisance: tuple[tuple[float, ...], ...] = ()
    """(D, E) orthonormal directions to remove from both vectors before their cosine; empty: none"""
    measured: bool = True
    """False: the conditions of its data are unknown, as for vectors of other tools; `ranges` are
    then meaningless, and no conditions are used"""
    short_seconds: float = 0.0
    """trials with a recording of less net speech than this use `short_points`"""
    short_points: tuple[OperatingPoint, ...] = ()
    """like `points`, for such trials only, which accept more impostors at the same llr; empty: the
    data have too few, and `points` apply to all trials"""

    @property
    def uses_conditions(self) -> bool:
        """Whether the llr depends on the conditions of the recordings, not only on the cosine."""
        return len(self.offset) > 1

    def compensate(self, vectors: Vectors) -> Vectors:
        """Unit vectors (..., E) without the `nuisance` directions: the cosines to calibrate.

        Raises DataError for vectors of another size.
        """
        if not self.nuisance:
            return unit_length(vectors)
        self._check_size(vectors)
        return project_out(vectors, self._directions)

    def scores(self, first: Vectors, second: Vectors) -> Floats:
        """The cosines (N,) to calibrate, from vectors (N, E), (1, E) or (E,)."""
        one, other = (np.atleast_2d(self.compensate(side)) for side in (first, second))
        return np.asarray((one * other).sum(axis=1, dtype=np.float64))

    def parts(self, vectors: Vectors) -> Vectors:
        """Components (N, D) of unit vectors (N, E) along the `nuisance` directions."""
        self._check_size(vectors)
        return np.asarray(vectors @ self._directions.T)

    def _check_size(self, vectors: Vectors) -> None:
        if vectors.shape[-1] != len(self.nuisance[0]):
            raise DataError(
                f"the calibration was made for vectors with {len(self.nuisance[0])} numbers, "
                f"these have {vectors.shape[-1]}: it belongs to another encoder"
            )

    @cached_property
    def _directions(self) -> Vectors:
        return np.array(self.nuisance, dtype=np.float32)

    def llr(self, scores: ArrayLike, first: Conditions, second: Conditions) -> Floats:
        """Natural log-likelihood ratios (N,) of `scores` (N,): same speaker : different speakers.

        Conditions outside the ranges of the data are clipped to them; `warnings` reports those
        below. Ratios are clipped to `limits` (Vergeer et al. 2016: the data cannot support stronger
        ones).
        """
        return np.clip(self.unlimited_llr(scores, first, second), *self.limits)

    def unlimited_llr(self, scores: ArrayLike, first: Conditions, second: Conditions) -> Floats:
        """Like `llr`, but not clipped to `limits`; thresholds are compared with these."""
        offset, scale = self._line(first, second)
        return np.asarray(offset + scale * np.asarray(scores, dtype=np.float64))

    def cosine(self, llr: float, first: Conditions, second: Conditions) -> Floats:
        """The scores (N,) whose `unlimited_llr` in these conditions is `llr`."""
        offset, scale = self._line(first, second)
        return np.asarray((llr - offset) / scale)

    def _line(self, first: Conditions, second: Conditions) -> tuple[Floats, Floats]:
        offset, scale = self.lines(self.measures(first), self.measures(second)).T
        return offset, scale

    def measures(self, conditions: Conditions) -> Floats:
        """The measures of recordings, clipped to the ranges, and a 1 (N, 4), for `lines`."""
        octaves = self.ranges.clip(conditions).octaves
        return np.concatenate((octaves, np.ones((len(octaves), 1))), axis=1)

    def lines(self, first: Floats, second: Floats) -> Floats:
        """Offset and scale of the llr over the score (N, 2), from `measures` of both sides (N, 4).

        `FEATURES` are linear in the lower and in the higher measure of both sides. This is faster
        than `design`, because millions of trials share few recordings.
        """
        of_lower, of_higher = self._of_measures
        return np.asarray(
            np.minimum(first, second) @ of_lower + np.maximum(first, second) @ of_higher
        )

    @cached_property
    def _of_measures(self) -> tuple[Floats, Floats]:
        """Offset and scale as functions of the lower and of the higher measure, each (4, 2)."""
        of_lower, of_higher = np.zeros((2, 4, 2))
        lines = np.array([self.offset, self.scale]).T
        of_lower[3] = lines[0]
        if self.uses_conditions:
            _, shorter, longer, narrower, difference, noisier = lines
            of_lower[:3] = shorter, narrower - difference, noisier
            of_higher[:2] = longer, difference
        return of_lower, of_higher

    def warnings(self, first: Conditions, second: Conditions) -> list[str]:
        """Which conditions of a trial are below the ranges of the data, as text.

        More speech, more bandwidth or less noise than in the data do no harm.
        """
        if not self.measured:
            return [
                "the recordings that the calibration was fitted on were not measured, so it "
                "cannot be said whether length, channel and noise of these are like theirs"
            ]
        sides = (first, second)
        texts = []
        for name, measure, unit in (
            ("speech_seconds", "net speech", "s"),
            ("bandwidth_hz", "bandwidth", "Hz"),
            ("snr_db", "speech over noise", "dB"),
        ):
            low, high = getattr(self.ranges, name)
            values = [float(getattr(side, name)[0]) for side in sides]
            if min(values) < low:
                texts.append(
                    f"{measure} of {_shown(min(values))} {unit} is below what the calibration was "
                    f"fitted on ({_shown(low)} to {_shown(high)} {unit})"
                )
        return texts

    def points_of(self, first: Conditions, second: Conditions) -> tuple[OperatingPoint, ...]:
        """The points for a trial: `short_points` if one side has little speech."""
        return self.points_at(min(float(side.speech_seconds[0]) for side in (first, second)))

    def points_at(self, speech_seconds: float) -> tuple[OperatingPoint, ...]:
        """The points for trials whose shorter side has this much net speech."""
        is_short = bool(self.short_points) and speech_seconds < self.short_seconds
        return self.short_points if is_short else self.points

    def threshold(self, false_accept: float) -> OperatingPoint:
        """The lowest llr that keeps new speakers' false accepts below a rate, with 95 % confidence.

        For the mixture of trials in the data; `promised` is for given points.

        Raises ConfigError for a rate that the data cannot support, with the one they can, and how
        many speakers it would take.
        """
        return self._accepting(false_accept, self.points)

    def reject_threshold(self, false_reject: float) -> OperatingPoint:
        """The highest llr that keeps false rejects below a rate, with 95 % confidence.

        Raises ConfigError for a rate that the data cannot support.
        """
        return self._rejecting(false_reject, self.points)

    def thresholds(
        self, false_accept: float, false_reject: float, *, speech_seconds: float
    ) -> tuple[OperatingPoint, OperatingPoint]:
        """`threshold` and `reject_threshold` for trials whose shorter side has this much speech.

        Raises ConfigError for a rate that the data cannot support for such trials.
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
        which = ""
        if points is not self.points:
            which = f" for recordings with less than {self.short_seconds:g} s of net speech"
        return ConfigError(
            f"`{argument}`: {rate:g} cannot be promised{which}. With its {speakers:,} speakers, "
            f"the calibration can promise no rate below {least:.2g}; about {needed:,} speakers "
            "would be needed"
        )

    def false_accept_bound(
        self, llr: float, points: Sequence[OperatingPoint] | None = None
    ) -> float:
        """Bound on the false accepts of new speakers at this threshold, with 95 % confidence.

        `points` are those for the trial; None: for all trials.
        """
        return bound_at(llr, points or self.points)

    def check_encoder(self, weights_sha256: str, embedding_sha256: str, source: str = "") -> None:
        """Raise DataError unless this is a calibration of these weights and preprocessing."""
        where = f"{source}: " if source else ""
        if self.weights_sha256 != weights_sha256:
            raise DataError(
                f"{where}is a calibration of {self.encoder} ({self.weights_sha256[:8]}), not of "
                f"these weights ({weights_sha256[:8]}); cosines of different encoders cannot be "
                "compared"
            )
        if self.embedding_sha256 != embedding_sha256:
            raise DataError(
                f"{where}is a calibration of {self.encoder} with other preprocessing or windows"
            )


def _shown(value: float) -> str:
    """Three significant digits; all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def bound_at(llr: float, points: Sequence[OperatingPoint]) -> float:
    """The bound on false accepts at this llr, from `points` in rising order of llr."""
    below = [point for point in points if point.llr <= llr]
    return below[-1].false_accept_bound if below else 1.0


def promised(false_accept: float, points: Sequence[OperatingPoint]) -> OperatingPoint | None:
    """The first of `points`, in rising order of llr, that keeps a rate; None if none does."""
    return next((each for each in points if each.false_accept_bound <= false_accept), None)


def design(first: Conditions, second: Conditions, columns: int) -> Floats:
    """1 and the `FEATURES` of trials (N, 6), or only 1 (N, 1)."""
    features = pair_features(first, second)
    ones = np.ones((len(features), 1))
    return ones if columns == 1 else np.concatenate((ones, features), axis=1)


def lowest_scale(scale: Floats, ranges: Ranges) -> float:
    """The smallest slope of the llr over the cosine in any conditions within `ranges`.

    `FEATURES` are linear between the corners of the ranges of both sides, so only the corners are
    computed.
    """
    corners = np.array(list(itertools.product(*asdict(ranges).values())))  # (8, 3)
    first, second = np.repeat(corners, len(corners), 0), np.tile(corners, (len(corners), 1))
    features = design(Conditions(*first.T), Conditions(*second.T), len(scale))
    return float((features @ scale).min())
