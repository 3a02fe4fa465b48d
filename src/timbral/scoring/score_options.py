"""How trials are scored, and what is said about their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import ConfigError, check_choice
from timbral.io.storage import location_of
from timbral.scoring.figures import DEFAULT_P_TARGETS
from timbral.scoring.intervals import check_draws
from timbral.scoring.metrics import check_p_target

__all__ = ["NORMS", "ScoreOptions"]

NORMS = ("none", "mean", "as-norm")


@dataclass(frozen=True)
class ScoreOptions:
    """What `timbral.score` and `timbral.evaluate` take besides vectors and trials.

    Raises ConfigError for an unknown norm, one without its cohort, a prior or a number of draws.
    """

    norm: str = "none"
    cohort: str | Path | None = None
    top_k: int = 300
    speakers: str | Path | Mapping[str, str] | None = None
    p_target: Sequence[float] = DEFAULT_P_TARGETS
    draws: int = 1000
    skip_missing: bool = False

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, NORMS)
        if (self.norm == "none") != (self.cohort is None):
            raise ConfigError("norm mean and as-norm need a cohort, and a cohort needs one of them")
        if not self.p_target:
            raise ConfigError("p_target: one prior of target trials or more is needed")
        for prior in self.p_target:
            check_p_target(prior)
        check_draws(self.draws)

    @property
    def scoring(self) -> str:
        """What scores are besides cosines, in words; empty for cosines."""
        if self.cohort is None:
            return ""
        nearest = f", {self.top_k} nearest" if self.norm == "as-norm" else ""
        return f"norm {self.norm}{nearest}, cohort {location_of(self.cohort)}"

    @property
    def files(self) -> list[str | Path]:
        """What is read besides vectors and trials."""
        return [given for given in (self.cohort, self.speakers) if isinstance(given, str | Path)]
