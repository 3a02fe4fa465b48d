"""Messages from a process of a run to the one that started it."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timbral.errors import TimbralError, TrainingError

__all__ = ["CAUSES_FIRST", "Crashed", "Done", "Ended", "Failed", "Failure", "StepTaken"]


@dataclass(frozen=True)
class StepTaken:
    """A process has taken a step."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Done:
    """A process has finished."""

    result: Any


@dataclass(frozen=True)
class Failure(ABC):
    """A process has failed."""

    time: float

    @abstractmethod
    def error(self, rank: int, exit_code: int | None) -> TimbralError:
        """The error that `launch` raises for it."""


@dataclass(frozen=True)
class Failed(Failure):
    """An error that timbral raises on purpose."""

    cause: TimbralError

    def error(self, rank: int, exit_code: int | None) -> TimbralError:
        return self.cause


@dataclass(frozen=True)
class Ended(Failure):
    """The process ended without a message, for example because it was killed."""

    def error(self, rank: int, exit_code: int | None) -> TimbralError:
        if exit_code is not None and exit_code < 0:
            return _process_failed(rank, f"killed by {signal.Signals(-exit_code).name}")
        return _process_failed(rank, f"exit code {exit_code}")


@dataclass(frozen=True)
class Crashed(Failure):
    """Any other error: a fault, or a connection lost because another process ended."""

    last_line: str
    """last line of its traceback"""

    def error(self, rank: int, exit_code: int | None) -> TimbralError:
        return _process_failed(rank, self.last_line)


CAUSES_FIRST: list[type[Failure]] = [Failed, Ended, Crashed]
"""kinds of failures, the likely cause of the others first"""


def _process_failed(rank: int, how: str) -> TrainingError:
    return TrainingError(
        f"process {rank} failed ({how}) and ended the run; the same command resumes it; see "
        f"worker_{rank}.log in the run folder"
    )
