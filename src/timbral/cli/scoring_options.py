"""Options for scoring trials, of score and evaluate, and the printing of results."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from timbral.cli.common_options import DrawsOption, PriorsOption, SpeakersOption, option

if TYPE_CHECKING:
    from timbral.scoring.condition_figures import Condition
    from timbral.scoring.figures import Figures

__all__ = ["DEFAULT_SCORING", "Scoring", "ScoringOptions", "print_conditions", "print_figures"]


@dataclass(frozen=True)
class ScoringOptions:
    """Normalization, who speaks, and which figures."""

    norm: Annotated[
        Literal["none", "mean", "as-norm", "nap"],
        option(
            None,
            "with --cohort: subtract its mean from the vectors; adaptive s-norm; or nuisance "
            "attribute projection (nap), which removes the directions in which recordings of one "
            "speaker differ most",
        ),
    ] = "none"
    cohort: Annotated[Path | None, option("VECTORS", "vectors of speakers who are in no trial")] = (
        None
    )
    top_k: Annotated[int, option("N", "closest cohort vectors for as-norm")] = 300
    directions: Annotated[int, option("N", "directions that nap removes from every vector")] = 5
    speakers: SpeakersOption = None
    p_target: PriorsOption = (0.01, 0.05)
    draws: DrawsOption = 1000
    skip_missing: Annotated[
        bool, option(None, "leave out trials without a vector, even if there are many")
    ] = False
    enrollment: Annotated[
        Path | None,
        option(
            "FILE",
            "recordings of each model, lines `model path [path …]`; trials then name a model and "
            "a recording",
        ),
    ] = None
    enrollment_average: Annotated[
        Literal["vectors", "scores"], option(None, "what is averaged over a model's recordings")
    ] = "vectors"
    by: Annotated[
        tuple[str, ...],
        option(
            "COLUMN[=FILE] …",
            "also report figures for each value of a column: duration, session or another column "
            "of the vectors; or of FILE, with lines `name value` (spk2gender, utt2dur) or a table",
        ),
    ] = ()
    false_accept: Annotated[
        tuple[float, ...],
        option("RATE …", "report the thresholds with these false accept rates on these trials"),
    ] = (0.001, 0.01)
    calibration: Annotated[
        Path | None,
        option(
            "FILE",
            "a calibration of this encoder, for Cllr and actual DCF; default: the encoder's own "
            "in evaluate, none in score, which also takes the name of an encoder that has one",
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The options as keyword arguments of `timbral.score` and `timbral.evaluate`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def print_figures(figures: Figures) -> None:
    """Print a line of error rates, and lines of thresholds and calibrated costs if there are
    any.
    """
    if figures.calibration_note:
        print(figures.calibration_note, file=sys.stderr)
    print(figures.line)
    if figures.thresholds_line:
        print(figures.thresholds_line)
    if figures.calibrated is not None:
        print(figures.calibrated.line)


def print_conditions(conditions: Sequence[Condition]) -> None:
    """Print a table for each column, with a row for each of its values."""
    from timbral.scoring.condition_table import condition_rows

    for column in dict.fromkeys(each.column for each in conditions):
        rows = condition_rows([each for each in conditions if each.column == column])
        rows[0] = (f"by {column}", *rows[0][1:])
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        for first, *others in rows:
            cells = zip(others, widths[1:], strict=True)
            line = "  ".join(cell.rjust(width) for cell, width in cells)
            print(f"{first.ljust(widths[0])}  {line}".rstrip())


Scoring = Annotated[ScoringOptions, arg(name="")]
DEFAULT_SCORING = ScoringOptions()
