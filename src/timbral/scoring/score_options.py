"""Options of scoring trials, and of the figures to report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.calibration.calibration import Calibration
from timbral.errors import ConfigError, check_choice
from timbral.io.files import file_sha256
from timbral.io.storage import location_of
from timbral.scoring.condition_values import ByColumns, column_sources
from timbral.scoring.enrollment import (
    AVERAGES,
    NamedRecordings,
    read_enrollment,
    recordings_of,
)
from timbral.scoring.figures import DEFAULT_FALSE_ACCEPTS, DEFAULT_P_TARGETS
from timbral.scoring.intervals import check_draws
from timbral.scoring.metrics import check_false_accept, check_p_target
from timbral.scoring.trial_list import TrialList

__all__ = ["NORMS", "ScoreOptions"]

NORMS = ("none", "mean", "as-norm", "nap")


@dataclass(frozen=True)
class ScoreOptions:
    """Options of `timbral.score` and `timbral.evaluate`, where they are described.

    Raises ConfigError for an unknown norm, a norm without a cohort, or a prior, a rate or a number
    of draws out of range.
    """

    norm: str = "none"
    cohort: str | Path | None = None
    top_k: int = 300
    directions: int = 5
    speakers: str | Path | Mapping[str, str] | None = None
    p_target: Sequence[float] = DEFAULT_P_TARGETS
    draws: int = 1000
    skip_missing: bool = False
    enrollment: str | Path | None = None
    enrollment_average: str = "vectors"
    by: ByColumns = ()
    false_accept: Sequence[float] = DEFAULT_FALSE_ACCEPTS
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, NORMS)
        if (self.norm == "none") != (self.cohort is None):
            raise ConfigError(
                "`norm` mean, as-norm and nap need a `cohort`, and a `cohort` needs one of these "
                "norms"
            )
        column_sources(self.by)
        check_choice("enrollment_average", self.enrollment_average, AVERAGES)
        if self.calibration is not None and not self.scores_are_cosines:
            raise ConfigError(
                "`calibration` is for cosines of two voices, as `verify` computes them; leave "
                "out `norm`, and average the `vectors` of models"
            )
        if not self.p_target:
            raise ConfigError("`p_target`: at least one prior of target trials is needed")
        for prior in self.p_target:
            check_p_target(prior)
        for rate in self.false_accept:
            check_false_accept(rate)
        check_draws(self.draws)

    @property
    def scores_are_cosines(self) -> bool:
        """Whether scores are plain cosines of two voices, to which a calibration can be applied."""
        averages = self.enrollment is not None and self.enrollment_average == "scores"
        return self.norm == "none" and not averages

    @property
    def scoring(self) -> str:
        """Norm, cohort and enrollment in words; empty for plain cosines of two recordings."""
        words = []
        if self.cohort is not None:
            more = {"as-norm": f", {self.top_k} nearest", "nap": f", {self.directions} directions"}
            words.append(
                f"norm {self.norm}{more.get(self.norm, '')}, cohort {location_of(self.cohort)}"
            )
        if self.enrollment is not None:
            sha256 = file_sha256(Path(self.enrollment))[:8]
            words.append(f"enrollment {sha256}, average of {self.enrollment_average}")
        return ", ".join(words)

    @property
    def files(self) -> list[str | Path]:
        """Files to read besides vectors and trials."""
        given = (self.cohort, self.speakers, self.enrollment, *column_sources(self.by).values())
        return [each for each in given if isinstance(each, str | Path)]

    def recordings_of(self, trials: TrialList) -> NamedRecordings:
        """The recordings of each name of a list; DataError as `enrollment.recordings_of`."""
        models = None if self.enrollment is None else read_enrollment(self.enrollment)
        return recordings_of(trials, models)
