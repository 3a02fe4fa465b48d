"""The verb calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, SpeakersOption, option
from timbral.cli.early_checks import check_folders
from timbral.cli.wording import count
from timbral.io.progress import fitting_bar

if TYPE_CHECKING:
    from timbral.calibration.calibration import Calibration

__all__ = ["run"]

EvaluationSource = Annotated[
    Positional[Path],
    option("EVALUATION", "a folder from `timbral evaluate`, or a file from `timbral score`"),
]
VectorsOption = Annotated[
    Path | None,
    option("VECTORS", "the vectors; needed for a file of scores, or if they were moved"),
]
DirectionsOption = Annotated[
    int | None,
    option(
        "N",
        "directions in which channels and rooms move vectors, to be removed; default: as many "
        "as help; 0: none",
    ),
]
MinSpeechOption = Annotated[
    float,
    option(
        "SECONDS",
        "net speech that both recordings of a trial need; other trials are left out, and "
        "nothing is promised for shorter recordings",
    ),
]


def run(
    evaluation: EvaluationSource,
    *,
    output: Annotated[
        Path | None,
        option(
            "FILE",
            "the calibration; default: calibration.json in the folder; needed for a file of scores",
        ),
    ] = None,
    speakers: SpeakersOption = None,
    vectors: VectorsOption = None,
    directions: DirectionsOption = None,
    min_speech: MinSpeechOption = 0.0,
    root: Annotated[
        Path, option("FOLDER", "for a file of scores: the folder that its paths are relative to")
    ] = Path(),
    description: Annotated[
        str, option("TEXT", "what the recordings are, stored for users of the calibration")
    ] = "",
) -> int:
    """Turn cosines into probabilities and promised error rates.

    example: timbral calibrate evaluation/campplus-zh-en/trials --output calibration.json
    """
    from timbral import api

    check_folders(evaluation)
    with fitting_bar() as advance:
        fitted = api.calibrate(
            evaluation,
            output,
            speakers=speakers,
            vectors=vectors,
            directions=directions,
            min_speech=min_speech,
            root=root,
            description=description,
            progress=advance,
        )
    _show(fitted, output or evaluation / "calibration.json")
    return OK


def _show(fitted: Calibration, path: Path) -> None:
    data = fitted.fitted_on
    print(f"calibration: {path}")
    print(
        f"{count(data.num_targets, 'target trial')} and "
        f"{count(data.num_nontargets, 'non-target trial')} of {count(data.num_speakers, 'speaker')}"
    )
    print(
        f"Cllr {data.cllr:.3f} ({data.cllr_low:.3f} to {data.cllr_high:.3f}) on held-out "
        f"speakers; the minimum for these scores is {data.min_cllr:.3f}"
    )
    least = min(point.false_accept_bound for point in fitted.points)
    taken = len(fitted.nuisance)
    used = "and conditions of the recordings" if fitted.uses_conditions else "alone"
    without = f" without {count(taken, 'direction')} of channels and rooms" if taken else ""
    print(
        f"it uses the cosine{without} {used}; false accepts can be promised down to "
        f"{100 * least:.2g} %"
    )
    if fitted.short_points:
        least = min(point.false_accept_bound for point in fitted.short_points)
        print(
            f"for recordings with less than {fitted.short_seconds:g} s of net speech, down to "
            f"{100 * least:.2g} %"
        )
    if not fitted.measured:
        print(
            f"it is for vectors of {fitted.encoder} ({fitted.weights_sha256[:8]}) whose recordings "
            "are unknown: it holds for lengths, channels and noise like theirs"
        )
