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
    compared = f"cosine {score:.3f} {'reaches' if same else 'is below'} {threshold:.3f}"
    origin = "of the encoder's validation" if given is None else "that was given"
    why = f"{compared}, the threshold {origin}. {missing}"
    return Decision(score, threshold, same, None, None, why)
