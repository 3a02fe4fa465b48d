"""The result of a search among enrolled voices."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Candidate", "Identification", "without_speech"]


@dataclass(frozen=True)
class Candidate:
    """An enrolled voice whose speaker may be that of a recording."""

    name: str
    score: float
    """cosine between the recording's vector and the voice's"""
    llr: float | None
    """natural logarithm of the likelihood ratio, this voice : somebody else; None without a
    calibration, and for a recording without speech"""
    probability: float | None
    """probability that the recording's speaker is this voice's; None in the same cases"""
    enroll_again: bool = False
    """whether the voice should be enrolled again, because a migration lost too much of it"""


@dataclass(frozen=True)
class Identification:
    """Which enrolled speaker is in a recording, if any.

    It has no truth value, because ``if found`` would always be true: use ``found.name is None``.
    """

    recording: str
    """name of the recording"""
    name: str | None
    """name of the voice; None if no voice can be named, as for a recording without speech"""
    candidates: tuple[Candidate, ...]
    """the likeliest first; empty for an empty gallery"""
    nobody: float | None
    """probability that the speaker is not enrolled; None without a calibration, and for a
    recording without speech"""
    num_voices: int
    prior: float
    """prior probability that the speaker is enrolled"""
    threshold: float | None
    """lowest llr at which the likeliest voice is named, or the lowest cosine without a calibration.
    None if no rate was given: a voice is then named if its probability exceeds one half. Also None
    for a recording without speech"""
    false_accept_bound: float | None
    """bound, with 95 % confidence, on the fraction of strangers who get any name; None if no rate
    was given, if none can be promised for this recording, and for one without speech"""
    warnings: tuple[str, ...]
    """reasons why the answer may be less reliable"""
    why: str
    """what was compared, and what is missing for a better answer"""
    holds_speech: bool = True
    """False: no speech was found in the recording, so nobody is named"""

    def __bool__(self) -> bool:
        raise TypeError("an Identification is neither true nor false; use `name is not None`")


def without_speech(found: Identification) -> Identification:
    """The answer for a recording without speech, which names nobody."""
    candidates = tuple(replace(each, llr=None, probability=None) for each in found.candidates)
    return replace(
        found,
        name=None,
        candidates=candidates,
        nobody=None,
        threshold=None,
        false_accept_bound=None,
        why=f"no speech was found in {found.recording}, so nobody is named",
        holds_speech=False,
    )
