"""The verb compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    OK,
    SOME_FAILED,
    DrawsOption,
    PriorsOption,
    SpeakersOption,
    option,
)
from timbral.cli.wording import count, name_flags

if TYPE_CHECKING:
    from timbral.scoring.comparison import Comparison

__all__ = ["run"]

SOURCE = "scores written by evaluate or score, or a folder with scores.txt"


def run(
    first: Annotated[Positional[Path], option("SCORES", SOURCE)],
    second: Annotated[
        Positional[Path], option("SCORES", "scores of the other system on the same trials")
    ],
    *,
    speakers: SpeakersOption = None,
    p_target: PriorsOption = (0.01, 0.05),
    draws: DrawsOption = 1000,
    skip_missing: Annotated[
        bool, option(None, "leave out trials that only one system scored")
    ] = False,
) -> int:
    """Compare two systems on the same trials: is the difference real?

    example: timbral compare runs/old/evaluation/trials runs/new/evaluation/trials
    """
    from timbral import api

    result = api.compare(
        first,
        second,
        speakers=speakers,
        p_target=p_target,
        draws=draws,
        skip_missing=skip_missing,
    )
    if result.note:
        print(name_flags(result.note, "compare"), file=sys.stderr)
    if result.is_one_system:
        print("both give every trial the same score: the scores of one system", file=sys.stderr)
    _print_table(result)
    print(f"{count(result.num_trials, 'trial')}, {count(result.num_speakers, 'speaker')}")
    if result.num_left_out:
        left_out = count(result.num_left_out, "trial")
        print(f"{left_out} left out that only one of them scored", file=sys.stderr)
        return SOME_FAILED
    return OK


def _print_table(result: Comparison) -> None:
    first, second = result.names
    widths = [max(len(name), 8) for name in result.names]
    print(
        f"{'':14}{first:>{widths[0]}} {second:>{widths[1]}}   "
        f"{second} - {first}, 95 % interval over speakers"
    )
    for line in result.differences:
        scale, unit, digits = (100, " %", 2) if line.name == "EER" else (1, "", 3)
        one, other, low, high = (
            f"{scale * value:z.{digits}f}"
            for value in (line.first, line.second, line.interval.low, line.interval.high)
        )
        print(
            f"{line.name + unit:14}{one:>{widths[0]}} {other:>{widths[1]}}   "
            f"{low} to {high}: {result.verdict(line)}"
        )
