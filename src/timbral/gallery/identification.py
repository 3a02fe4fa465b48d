"""What a search among enrolled voices answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Candidate", "Identification", "without_speech"]


@dataclass(frozen=True)
class Candidate:
    """An enrolled voice that a recording may be of."""

    name: str
    score: float
    """cosine of the recording's vector and the voice's"""
    llr: float | None
    """natural logarithm of the likelihood ratio, this voice : somebody else; None without a
    calibration, or without speech"""
    probability: float | None
    """that the recording is of this voice; None without a calibration, or without speech"""
    enroll_again: bool = False
    """whether the voice is marked so, as by a migration that lost too much of it"""


@dataclass(frozen=True)
class Identification:
    """Who of the enrolled voices speaks in a recording, or nobody of them?

    It has no truth value: ``if found.name is None`` is a question, ``if found`` would always be
    yes.
    """

    recording: str
    """what it is called"""
    name: str | None
    """of the voice that it is; None: nobody, as far as can be said, and always without speech"""
    candidates: tuple[Candidate, ...]
    """the likeliest first; empty for an empty gallery"""
    nobody: float | None
    """probability that the speaker is not enrolled; None without a calibration, or without
    speech"""
    num_voices: int
    prior: float
    """probability that the speaker is enrolled, before anything was compared"""
    threshold: float | None
    """llr from which the likeliest voice is named; without a calibration a cosine; None where no
    rate was asked for: the voice is then named whose probability passes one half; and without
    speech"""
    false_accept_bound: float | None
    """fraction of strangers' searches that end with any name, at most, in 95 of 100 cases; None
    where no rate was asked for, and without speech"""
    warnings: tuple[str, ...]
    """why the answer may be worth less than it says"""
    why: str
    """what was compared with what, and what is missing for more"""
    holds_speech: bool = True
    """False: no speech was found in the recording, so that nothing is said of who speaks"""

    def __bool__(self) -> bool:
        raise TypeError("an Identification is neither true nor false; ask whether name is None")


def without_speech(found: Identification) -> Identification:
    """An answer that names nobody, as no speech was found in the recording."""
    candidates = tuple(replace(each, llr=None, probability=None) for each in found.candidates)
    return replace(
        found,
        name=None,
        candidates=candidates,
        nobody=None,
        threshold=None,
        false_accept_bound=None,
        why=f"no speech was found in {found.recording}, so that nothing is said of who speaks",
        holds_speech=False,
    )
