"""The verb identify."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    SOME_FAILED,
    ChannelOption,
    Running,
    load_embedder,
    option,
    with_channel,
)
from timbral.cli.early_checks import check_channel, check_files, check_folders, check_recordings
from timbral.cli.gallery_options import (
    GalleryCalibration,
    GalleryLocation,
    encoder_of,
    other_than_gallery,
)
from timbral.cli.long_recordings import announce_length, clock_of
from timbral.cli.wording import count, name_flags, percent
from timbral.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from timbral.gallery.identification import Identification

__all__ = ["run"]

NOBODY = 3
UNDECIDED = 4


def run(
    gallery: GalleryLocation,
    recordings: Annotated[Positional[tuple[str, ...]], option("RECORDING …", "to identify")],
    *,
    encoder: Annotated[
        str | None,
        option("ENCODER", "the gallery's, if its name is not in `timbral models`"),
    ] = None,
    top: Annotated[int, option("N", "number of candidates to list for each recording")] = 5,
    false_accept: Annotated[
        float | None,
        option("RATE", "highest rate at which speakers who are not enrolled may get any name"),
    ] = None,
    prior: Annotated[float, option("P", "prior probability that the speaker is enrolled")] = 0.5,
    strangers: Annotated[
        Path | None,
        option(
            "VECTORS",
            "an embed folder of speakers who are not enrolled, so that lower rates can be promised",
        ),
    ] = None,
    calibration: GalleryCalibration = None,
    channel: ChannelOption = "mix",
    json: Annotated[bool, option(None, "print one JSON object for each recording")] = False,
    exit_code: Annotated[
        bool,
        option(None, "exit with 0: all identified, 3: somebody is not enrolled, 4: undecided"),
    ] = False,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Find which enrolled speaker is in a recording, if any.

    example: timbral identify gallery.db unknown.wav --false-accept 0.05
    """
    seconds = _check(gallery, recordings, calibration, strangers)
    check_channel(channel, *recordings)
    from timbral.gallery.gallery import Gallery

    opened = Gallery(gallery)
    embedder = load_embedder(encoder or encoder_of(opened), running)
    from timbral.gallery.identifier import Identifier

    identifier = Identifier(
        opened, embedder, top=top, false_accept=false_accept, prior=prior,
        calibration=calibration, strangers=strangers,
    )  # fmt: skip
    given = [with_channel(path, channel) for path in recordings]
    answers = _with_clock(identifier.identify_many(given, names=recordings), seconds)
    found, failed = _print_all(answers, json, len(recordings) > 1)
    if failed:
        print(f"{count(failed, 'recording')} could not be used", file=sys.stderr)
        return SOME_FAILED
    is_decided = identifier.is_calibrated or false_accept is not None
    return max(_code(each, is_decided) for each in found) if exit_code else OK


def _check(
    gallery: str, recordings: Sequence[str], calibration: Path | None, strangers: Path | None
) -> float:
    """Check the arguments, and print that long recordings are being read.

    Returns the total duration of the recordings, in seconds.

    Raises:
        ConfigError: the gallery or the recordings are missing
        DataError: a file or folder does not exist
    """
    if what := other_than_gallery(gallery):
        raise ConfigError(f"GALLERY comes before the recordings, but {gallery!r} is {what}")
    if not recordings:
        raise ConfigError("give one or more recordings after the gallery")
    check_recordings(*recordings)
    check_files(calibration)
    check_folders(strangers)
    return announce_length(*recordings)


def _with_clock(
    answers: Iterable[Identification | AudioError], seconds: float
) -> Iterator[Identification | AudioError]:
    """The answers; while each of them is awaited, a clock is shown if the recordings are long."""
    remaining = iter(answers)
    while True:
        with clock_of(seconds):
            answer = next(remaining, None)
        if answer is None:
            return
        yield answer


def _code(found: Identification, is_decided: bool) -> int:
    if found.name is not None:
        return OK
    return NOBODY if is_decided and found.holds_speech else UNDECIDED


def _print_all(
    answers: Iterable[Identification | AudioError], json: bool, several: bool
) -> tuple[list[Identification], int]:
    """Print each answer as soon as it is there; returns the answers, and how many failed."""
    answered, failed = [], 0
    for found in answers:
        if isinstance(found, AudioError):
            print(f"error: {found}", file=sys.stderr)
            failed += 1
            continue
        answered.append(found)
        print(_as_json(found) if json else _in_words(found, several), flush=True)
        for warning in found.warnings:
            print(f"note: {name_flags(warning, 'identify')}", file=sys.stderr)
    return answered, failed


def _in_words(found: Identification, several: bool) -> str:
    """The answer in one line, and one line for each candidate."""
    lines = [f"{found.recording}: {_answer(found)}" if several else _answer(found)]
    for each in found.candidates:
        again = "  (enroll again)" if each.enroll_again else ""
        shown = "" if each.probability is None else f"{percent(each.probability):>9}  "
        llr = "" if each.llr is None else f", llr {each.llr:+.1f}"
        lines.append(f"  {shown}{each.name}  (cosine {each.score:.3f}{llr}){again}")
    if found.nobody is not None:
        lines.append(f"  {percent(found.nobody):>9}  nobody of {found.num_voices:,}")
    return "\n".join(lines)


def _answer(found: Identification) -> str:
    if not found.candidates:
        return "nobody: the gallery is empty"
    if not found.holds_speech:
        return "it cannot be said who it is: no speech was found"
    best = found.candidates[0]
    if found.false_accept_bound is not None:
        promise = f"any name is given to at most {percent(found.false_accept_bound)} of strangers"
        return f"{found.name or 'nobody'} ({promise})"
    if found.threshold is not None:
        return f"{found.name or 'nobody'} (no rate can be promised for this recording)"
    if found.nobody is None or best.probability is None:
        return (
            "it cannot be said who it is: this encoder has no calibration; give --false-accept or "
            "--calibration"
        )
    if found.name is None:
        return f"nobody {percent(found.nobody)}" if found.nobody > 0.5 else "it is not clear who"
    return f"{found.name} {percent(best.probability)}"


def _as_json(found: Identification) -> str:
    return dumps(asdict(found), ensure_ascii=False)
