"""How trials are scored: options of score and evaluate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from timbral.cli.common_options import DrawsOption, PriorsOption, SpeakersOption, option

__all__ = ["DEFAULT_SCORING", "Scoring", "ScoringOptions"]


@dataclass(frozen=True)
class ScoringOptions:
    """Normalization, who speaks, and which figures."""

    norm: Annotated[
        Literal["none", "mean", "as-norm"],
        option(None, "with --cohort: subtract its mean from the vectors, or adaptive s-norm"),
    ] = "none"
    cohort: Annotated[Path | None, option("VECTORS", "of speakers who are in no trial")] = None
    top_k: Annotated[int, option("N", "nearest vectors of the cohort in as-norm")] = 300
    speakers: SpeakersOption = None
    p_target: PriorsOption = (0.01, 0.05)
    draws: DrawsOption = 1000
    skip_missing: Annotated[
        bool, option(None, "leave out trials without a vector, however many they are")
    ] = False
    enrollment: Annotated[
        Path | None,
        option("FILE", "lines `model path [path …]`; trials then name a model and a recording"),
    ] = None
    enrollment_average: Annotated[
        Literal["vectors", "scores"], option(None, "what a model's recordings have averaged")
    ] = "vectors"

    def arguments(self) -> dict[str, Any]:
        """The arguments of `timbral.score` and `timbral.evaluate` by these names."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


Scoring = Annotated[ScoringOptions, arg(name="")]
DEFAULT_SCORING = ScoringOptions()
