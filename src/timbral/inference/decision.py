"""The decision that `verify` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from timbral.calibration.argument_checks import check_prior, check_rate, check_threshold
from timbral.calibration.calibration import NO_PROMISE, Calibration, OperatingPoint, promised
from timbral.calibration.conditions import Conditions
from timbral.calibration.log_odds import log_odds, probability_of
from timbral.embeddings.similarity import similarity
from timbral.errors import ConfigError
from timbral.io.types import Vectors

__all__ = ["Decision", "PairScore", "Question", "decide", "without_speech"]

NO_CALIBRATION = "llr and probability need a calibration, which this encoder does not have"
ONE_RECORDING = (
    "both sides are the same recording, or copies of it; two utterances of a speaker are never "
    "this similar, so the result says nothing about the speaker"
)
ONE_RECORDING_COSINE = 0.99999
"""a higher cosine gets that warning; rounding is below 1e-6"""


@dataclass(frozen=True)
class Decision:
    """The result of a comparison: a score, the decision, and the reason.

    It has no truth value, because ``if decision`` would always be true: use ``decision.same``.
    """

    score: float
    """cosine of the two vectors, in [-1, 1], after removing the calibration's nuisance directions;
    the plain cosine if `threshold` was given"""
    threshold: float | None
    """lowest score of the same speaker, with a calibration for recordings like these; None if none
    is known"""
    same: bool | None
    """whether the score reaches the threshold; None without a threshold, and with a calibration if
    one side has no speech"""
    llr: float | None
    """natural logarithm of the likelihood ratio, same speaker : different speakers; None without a
    calibration, or without speech"""
    probability: float | None
    """probability of the same speaker, in [0, 1]; None without a calibration, or without speech"""
    why: str
    """what was compared, and what is missing for a better answer"""
    prior: float | None = None
    """prior probability of the same speaker, used for `probability`"""
    false_accept_bound: float | None = None
    """upper bound, with 95 % confidence, on the fraction of different-speaker pairs that reach this
    threshold; None without a calibration, for recordings outside its data, and if `threshold` was
    given to a calibration with nuisance directions"""
    warnings: tuple[str, ...] = ()
    """reasons why the decision may be less reliable"""

    @property
    def compared(self) -> tuple[str, str]:
        """Score and threshold with three digits, or as many as are needed to tell them apart."""
        assert self.threshold is not None, "without a threshold nothing is compared"
        return _distinct(self.score, self.threshold)

    def __bool__(self) -> bool:
        raise TypeError("a Decision is neither true nor false; use decision.same")


@dataclass(frozen=True)
class Question:
    """Settings of a comparison: threshold or rate, calibration, prior."""

    threshold: float | None = None
    """cosine threshold given by the caller"""
    validated: float | None = None
    """the encoder's own threshold, the EER point of its validation speakers; None without
    validation"""
    calibration: Calibration | None = None
    false_accept: float | None = None
    """false accept rate that the calibration must guarantee"""
    prior: float = 0.5

    def __post_init__(self) -> None:
        check_prior(self.prior)
        check_threshold(self.threshold)
        if self.false_accept is None:
            return
        check_rate("false_accept", self.false_accept)
        if self.threshold is not None:
            raise ConfigError("`threshold` and `false_accept` both set the threshold; give one")
        if self.calibration is None:
            raise ConfigError(
                "`false_accept` needs a calibration, which this encoder does not have; `timbral "
                "calibrate` makes one"
            )
        self.calibration.threshold(self.false_accept)  # may not be promised

    @property
    def log_prior_odds(self) -> float:
        return log_odds(self.prior)


@dataclass(frozen=True)
class PairScore:
    """The cosine of two vectors, before and after removing nuisance directions."""

    cosine: float
    """of the unchanged vectors, to which a given threshold applies"""
    compensated: float
    """cosine after removing the calibration's nuisance directions, if it has any"""

    @classmethod
    def of(cls, first: Vectors, second: Vectors, calibration: Calibration | None) -> Self:
        """From two vectors (E,)."""
        cosine = float(similarity(first, second))
        if calibration is None or not calibration.nuisance:
            return cls(cosine, cosine)
        compensated = float(calibration.scores(first, second)[0])
        return cls(cosine, min(max(compensated, -1.0), 1.0))  # rounding may exceed 1


def decide(score: PairScore, question: Question, first: Conditions, second: Conditions) -> Decision:
    """Compare a score with the given threshold, else the calibration's, else the validated one.

    `first` and `second` are the conditions of the two sides. A given threshold applies to plain
    cosines. A recording compared with itself gets a warning.
    """
    if question.calibration is None:
        decision = _decide_by_cosine(score.cosine, question)
    else:
        decision = _decide_by_llr(score, question, question.calibration, first, second)
    if score.cosine < ONE_RECORDING_COSINE:
        return decision
    return replace(decision, warnings=(*decision.warnings, ONE_RECORDING))


def without_speech(decision: Decision, names: Sequence[str]) -> Decision:
    """The decision withdrawn, because the named recordings contain no speech."""
    why = (
        f"no speech was found in {' and '.join(names)}, so there is no decision (cosine "
        f"{decision.score:.3f}); with `threshold`, the cosine alone decides"
    )
    return replace(
        decision, same=None, llr=None, probability=None, false_accept_bound=None, why=why
    )


def _decide_by_cosine(score: float, question: Question) -> Decision:
    threshold = question.validated if question.threshold is None else question.threshold
    if threshold is None:
        why = (
            f"cosine {score:.3f}, and no threshold, because this encoder was trained without "
            f"validation; give `threshold`. {NO_CALIBRATION}"
        )
        return Decision(score, None, None, None, None, why)
    origin = "of the encoder's validation" if question.threshold is None else "that was given"
    why = f"{_compare(score, threshold)}, the threshold {origin}. {NO_CALIBRATION}"
    return Decision(score, threshold, score >= threshold, None, None, why)


def _decide_by_llr(
    pair: PairScore,
    question: Question,
    calibration: Calibration,
    first: Conditions,
    second: Conditions,
) -> Decision:
    llr = float(calibration.llr(pair.compensated, first, second)[0])
    probability = float(probability_of(llr + question.log_prior_odds))
    points, warnings = calibration.points_of(first, second), calibration.warnings(first, second)
    refusal = NO_PROMISE
    if not warnings and question.false_accept and promised(question.false_accept, points) is None:
        refusal = _too_short_to_promise(question.false_accept, calibration)
    least, origin = _least_llr(question, calibration, points)
    bound: float | None = calibration.false_accept_bound(least, points)
    score, threshold = pair.compensated, float(calibration.cosine(least, first, second)[0])
    if question.threshold is not None:
        score, threshold, origin = pair.cosine, question.threshold, "that was given"
        bound = None
        if not calibration.nuisance:
            least = float(calibration.unlimited_llr(threshold, first, second)[0])
            bound = calibration.false_accept_bound(least, points)
    if (warnings or refusal != NO_PROMISE) and bound is not None:
        bound, warnings = None, [*warnings, refusal]
        if question.false_accept is not None:
            origin += " if recordings are like those of the calibration"
    data = calibration.fitted_on
    why = (
        f"{_compare(score, threshold)}, the threshold {origin}. The probability {probability:.3f} "
        f"comes from a calibration on {data.num_speakers:,} speakers ({data.description})"
    )
    if calibration.nuisance:
        why += (
            f", which removes the {len(calibration.nuisance)} directions in which channels and "
            f"rooms move vectors most (cosine {pair.compensated:.3f}; before that "
            f"{pair.cosine:.3f})"
        )
    return Decision(
        score,
        threshold,
        score >= threshold,
        llr,
        probability,
        why,
        question.prior,
        bound,
        tuple(warnings),
    )


def _least_llr(
    question: Question, calibration: Calibration, points: Sequence[OperatingPoint]
) -> tuple[float, str]:
    """The lowest llr of the same speaker, and its reason; `points` are for trials like this one."""
    if question.false_accept is None:
        least = -question.log_prior_odds
        return least, f"for recordings such as these, at a prior of {question.prior:g}"
    rate = question.false_accept
    point = promised(rate, points) or calibration.threshold(rate)
    return point.llr, f"at which at most {rate:g} of other speakers are accepted"


def _too_short_to_promise(rate: float, calibration: Calibration) -> str:
    least = min(point.false_accept_bound for point in calibration.short_points)
    return (
        f"{rate:g} cannot be promised for recordings with less than {calibration.short_seconds:g} "
        f"s of net speech, but {least:.2g} can"
    )


def _compare(score: float, threshold: float) -> str:
    shown, limit = _distinct(score, threshold)
    return f"cosine {shown} {'reaches' if score >= threshold else 'is below'} {limit}"


def _distinct(score: float, threshold: float) -> tuple[str, str]:
    """Both numbers with three decimals, or more if needed to distinguish them."""
    digits = 3
    while f"{score:.{digits}f}" == f"{threshold:.{digits}f}" and score != threshold and digits < 17:
        digits += 1
    return f"{score:.{digits}f}", f"{threshold:.{digits}f}"
