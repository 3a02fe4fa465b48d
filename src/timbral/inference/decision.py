"""What `verify` answers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Decision", "decide"]


@dataclass(frozen=True)
class Decision:
    """Are two recordings of one speaker? A score, what was decided, and why.

    It has no truth value: ``if decision.same`` is a question, ``if decision`` would always be yes.
    """

    score: float
    """cosine of the two vectors, in [-1, 1]"""
    threshold: float | None
    """cosine from which the answer is yes; None when none is known"""
    same: bool | None
    """whether the score reaches the threshold; None without a threshold"""
    llr: float | None
    """natural logarithm of the likelihood ratio, same speaker : different speakers; None without a
    calibration"""
    probability: float | None
    """that the speaker is the same, in [0, 1]; None without a calibration"""
    why: str
    """what was compared with what, and what is missing for more"""

    @property
    def compared(self) -> tuple[str, str]:
        """Score and threshold with three digits, or as many as show which of them is greater."""
        assert self.threshold is not None, "without a threshold nothing is compared"
        return _distinct(self.score, self.threshold)

    def __bool__(self) -> bool:
        raise TypeError("a Decision is neither true nor false; ask decision.same")


def decide(score: float, given: float | None, validated: float | None) -> Decision:
    """Compare a cosine with the threshold that was `given`, else with the encoder's own.

    `validated` is where misses and false alarms were equally frequent on the speakers that the
    encoder was validated on; None for an encoder without validation.
    """
    threshold = validated if given is None else given
    missing = "llr and probability need a calibration, which this encoder does not have"
    if threshold is None:
        why = (
            f"cosine {score:.3f}, and no threshold: this encoder was not validated when it was "
            f"trained; give `threshold`. {missing}"
        )
        return Decision(score, None, None, None, None, why)
    same = score >= threshold
    shown, limit = _distinct(score, threshold)
    compared = f"cosine {shown} {'reaches' if same else 'is below'} {limit}"
    origin = "of the encoder's validation" if given is None else "that was given"
    why = f"{compared}, the threshold {origin}. {missing}"
    return Decision(score, threshold, same, None, None, why)


def _distinct(score: float, threshold: float) -> tuple[str, str]:
    """Both with three digits behind the point, or as many more as it takes to tell them apart."""
    digits = 3
    while f"{score:.{digits}f}" == f"{threshold:.{digits}f}" and score != threshold and digits < 17:
        digits += 1
    return f"{score:.{digits}f}", f"{threshold:.{digits}f}"
