"""The errors that timbral raises on purpose.

    TimbralError
    ├── AudioError          one recording cannot be used
    ├── DataError           a corpus, manifest, store, trial or speaker list cannot be used
    ├── ConfigError         a setting is unknown, of the wrong type or out of range
    ├── EnrollmentError     recordings are refused as those of a voice
    │   └── MergeError      two voices of a gallery do not sound like one speaker
    ├── InputError          what was given as a recording or vectors is none (a TypeError, too)
    ├── CheckpointError     a checkpoint or weight file cannot be used
    ├── MissingExtraError   an optional dependency is asked for and not installed
    └── TrainingError       a run cannot start or continue

Every message says what came, what is allowed and what to do. The command line prints it without
a traceback and ends with exit code 2, or 1 if only a recording cannot be used.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from timbral.installation import install_command

__all__ = [
    "AudioError",
    "AudioErrorKind",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EnrollmentError",
    "InputError",
    "MergeError",
    "MissingExtraError",
    "Refusal",
    "TimbralError",
    "TrainingError",
    "UnavailableError",
    "check_choice",
    "check_ranges",
    "did_you_mean",
    "first_line",
]


AudioErrorKind = Literal[
    "bad-line",
    "bad-name",
    "empty",
    "missing",
    "missing-extra",
    "no-speaker",
    "no-such-segment",
    "not-finite",
    "out-of-range",
    "silent",
    "too-large",
    "too-long",
    "too-short",
    "trimmed-away",
    "truncated",
    "unreadable",
    "unsupported",
]
"""why a recording cannot be used, as failures.jsonl has it"""


class TimbralError(Exception):
    """Base of every error that timbral raises on purpose.

    Errors cross process boundaries: ``type(error)(*error.args)`` makes an equal one.
    """


class AudioError(TimbralError):
    """One recording cannot be used: missing, unreadable, empty, silent, too short.

    ``str()`` is ``PATH: REASON``.
    """

    path: str
    """the recording as it was named, a file or a URL, maybe with ``#t=START,END``"""
    reason: str
    """what is wrong with it and what to do, without the path"""
    kind: AudioErrorKind

    def __init__(self, path: str, reason: str, kind: AudioErrorKind) -> None:
        super().__init__(path, reason, kind)
        self.path, self.reason, self.kind = path, reason, kind

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    def as_dict(self) -> dict[str, str]:
        """A row of failures.jsonl: path, reason, kind."""
        return {"path": self.path, "reason": self.reason, "kind": self.kind}


def none_usable(num_recordings: int, first: Mapping[str, str], listed_in: str) -> DataError:
    """The error of a job without a usable recording; `first` is a row of failures.jsonl."""
    reason = f"{first['path']}: {first['reason']}"
    if num_recordings == 1:
        return DataError(f"the only recording cannot be used: {reason}")
    return DataError(
        f"none of the {num_recordings:,} recordings can be used; the first: {reason}; all of them: "
        f"{listed_in}"
    )


class Refusal(NamedTuple):
    """Why a recording was not enrolled."""

    recording: str
    """its path or name; where all are refused together, their number"""
    kind: str
    """one of `timbral.gallery.guard.REFUSALS`"""
    reason: str
    """what was found and what to do, in one line"""

    @classmethod
    def of_name(cls, name: str, error: ConfigError) -> Refusal:
        """The refusal of all recordings of a voice, whose name is not allowed."""
        return cls(repr(name), "bad-name", str(error))


class DataError(TimbralError):
    """A corpus, manifest, store, trial list or speaker list cannot be used."""


class UnavailableError(DataError):
    """A database that others use, too, cannot be reached or written at the moment."""


class ConfigError(TimbralError):
    """A setting is unknown, of the wrong type or out of range."""


class EnrollmentError(TimbralError):
    """Recordings are refused as those of a voice; nothing of them was enrolled.

    Attributes:
        voice: its name
        refusals: what was refused, and why
        num_partial: recordings that `partial` would enroll
        num_force: recordings that `force` would enroll: those that gave a vector
    """

    def __init__(
        self, voice: str, refusals: Sequence[Refusal], num_partial: int = 0, num_force: int = 0
    ) -> None:
        super().__init__(voice, tuple(refusals), num_partial, num_force)
        self.voice, self.refusals = voice, tuple(refusals)
        self.num_partial, self.num_force = num_partial, num_force

    @property
    def reasons(self) -> str:
        """What was refused and why, in one line."""
        return "; ".join(f"{each.recording}: {each.reason}" for each in self.refusals)

    @property
    def is_repeated(self) -> bool:
        """Whether `force` would only enroll recordings again that are enrolled or given twice."""
        return {each.kind for each in self.refusals} - {"unusable"} == {"same-recording"}

    def __str__(self) -> str:
        advice = ". `force` enrolls anyway" if self.num_force and not self.is_repeated else ""
        return f"{self.voice}: nothing was enrolled. {self.reasons}{advice}"


class MergeError(EnrollmentError):
    """Two voices of a gallery do not sound like one speaker; nothing was merged."""

    def __str__(self) -> str:
        return (
            f"{self.voice}: nothing was merged. {self.reasons}. Without `evidence` the voices "
            "are not compared"
        )


class InputError(TimbralError, TypeError):
    """What was given as a recording or as vectors is of a type or shape that is not taken."""


class CheckpointError(TimbralError):
    """A checkpoint or a file of weights cannot be used."""


class TrainingError(TimbralError):
    """A training run cannot start or continue."""


class MissingExtraError(TimbralError):
    """An optional dependency is asked for and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what, self.extra = what, extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs the optional dependencies [{self.extra}], which are not installed; "
            f"install them with: {install_command(self.extra)}"
        )


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ``; allowed: …`` with the nearest name first, ready to end an error message."""
    names = sorted(allowed)
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"{hint} allowed: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a message of one line; its class if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_choice(key: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    if value not in (names := list(allowed)):
        raise ConfigError(f"{key}: unknown value {value!r}{did_you_mean(value, names)}")


def check_ranges(config: object, section: str, **ranges: tuple[float, float]) -> None:
    """Raise ConfigError unless each named number of `config` lies in its range, ends included.

    None passes; NaN does not.
    """
    for name, (low, high) in ranges.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            allowed = f"at least {low:g}" if math.isinf(high) else f"in [{low:g}, {high:g}]"
            raise ConfigError(f"{section}.{name} must be {allowed}: {value}")
