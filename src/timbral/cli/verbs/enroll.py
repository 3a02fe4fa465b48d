"""The verb enroll."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
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
    RunningOptions,
    load_embedder,
    option,
    with_channel,
)
from timbral.cli.early_checks import check_channel, check_files, check_folders, check_recordings
from timbral.cli.gallery_options import (
    GalleryCalibration,
    GalleryLocation,
    check_has_encoder,
    encoder_of,
    evidence_for,
    other_than_gallery,
)
from timbral.cli.long_recordings import announce_length, clock_of
from timbral.cli.wording import count, name_flags
from timbral.errors import ConfigError, EnrollmentError

if TYPE_CHECKING:
    from timbral.gallery.enrollment_result import Enrollment
    from timbral.gallery.from_embeddings import EnrolledSpeakers
    from timbral.inference.embedder import Embedder

__all__ = ["run"]

EncoderOption = Annotated[
    str | None,
    option(
        "ENCODER",
        "the encoder of a new gallery; default: the gallery's own. With --embeddings it "
        "provides the calibration or threshold",
    ),
]
SHOWN = 20
"""voices of an `embed` folder that were refused"""


def run(
    gallery: GalleryLocation,
    name: Annotated[Positional[str], option("NAME", "name of the speaker")] = "",
    recordings: Annotated[
        Positional[tuple[str, ...]], option("RECORDING …", "recordings of this speaker only")
    ] = (),
    *,
    encoder: EncoderOption = None,
    embeddings: Annotated[
        Path | None,
        option("FOLDER", "an `embed` folder: enroll all of its speakers instead"),
    ] = None,
    consent: Annotated[
        str | None, option("TEXT", "what the speaker consented to, or where the form is kept")
    ] = None,
    partial: Annotated[bool, option(None, "enroll what is not refused")] = False,
    force: Annotated[bool, option(None, "enroll without the checks")] = False,
    calibration: GalleryCalibration = None,
    channel: ChannelOption = "mix",
    json: Annotated[bool, option(None, "print one JSON object")] = False,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Add a speaker's recordings to a gallery, after checking them.

    A recording is refused if it has too little speech or a second speaker, does not match the
    voice's other recordings, is already enrolled, or sounds like another voice. If any is refused,
    nothing is enrolled and the exit code is 1, unless --partial or --force is given.

    example: timbral enroll gallery.db caller-17 a1.wav a2.wav --encoder campplus-zh-en
    """
    check_files(calibration)
    if embeddings is not None:
        _check_alone(gallery, name, partial or channel != "mix")
        speakers = _enroll_speakers(gallery, embeddings, encoder, calibration, consent, force)
        return _report_speakers(speakers, gallery, json, force)
    _check_words(gallery, name, recordings)
    check_channel(channel, *recordings)
    seconds = announce_length(*recordings)
    embedder = _open_encoder(gallery, name, recordings, encoder, running)
    from timbral.gallery.first_enrollment import enroll_at

    try:
        with clock_of(seconds):
            enrollment = enroll_at(
                gallery,
                name,
                [with_channel(path, channel) for path in recordings],
                embedder,
                consent=consent,
                force=force,
                partial=partial,
                calibration=calibration,
            )
    except EnrollmentError as error:
        return _report_error(error, json)
    return _report(enrollment, gallery, json)


def _check_alone(gallery: str, name: object, others: bool) -> None:
    """Raise ConfigError for arguments that cannot be combined with `embeddings`."""
    if name or others:
        raise ConfigError(
            "`embeddings` replaces NAME and recordings, and cannot be combined with `partial` or "
            "`channel`"
        )
    if found := other_than_gallery(gallery):
        raise ConfigError(f"GALLERY is {gallery!r}, {found}; with `embeddings` it is the only word")


def _check_words(gallery: str, name: str, recordings: Sequence[str]) -> None:
    """Raise ConfigError for an argument that is missing or in another's place.

    Raises DataError for a recording that does not exist.
    """
    found = _misplaced(gallery, name, recordings)
    if found:
        raise ConfigError(
            f"{found}; enroll takes GALLERY NAME RECORDING …, in this order, or GALLERY and "
            "`embeddings`"
        )
    check_recordings(*recordings)


def _misplaced(gallery: str, name: str, recordings: Sequence[str]) -> str:
    """Which argument is missing or in another's place; empty if none is."""
    if what := other_than_gallery(gallery):
        return f"GALLERY is {gallery!r}, {what}"
    if _is_file(name):
        return f"NAME is {name!r}, a file"
    if recordings:
        return ""
    return f"no RECORDING after NAME {name!r}" if name else f"no NAME after GALLERY {gallery!r}"


def _is_file(name: str) -> bool:
    """Whether a name is that of a file; names of speakers may be longer than those of files."""
    try:
        return Path(name).is_file()
    except OSError:
        return False


def _open_encoder(
    gallery: str,
    name: str,
    recordings: Sequence[str],
    encoder: str | None,
    running: RunningOptions,
) -> Embedder:
    """The encoder that is named, or the gallery's own; a new gallery has none."""
    if encoder is None:
        check_has_encoder(gallery, ["enroll", gallery, name, *recordings])
        from timbral.gallery.gallery import Gallery

        encoder = encoder_of(Gallery(gallery))
    return load_embedder(encoder, running)


def _enroll_speakers(
    location: str,
    embeddings: Path,
    encoder: str | None,
    calibration: Path | None,
    consent: str | None,
    force: bool,
) -> EnrolledSpeakers:
    check_folders(embeddings)
    from timbral.gallery.first_enrollment import enroll_embeddings_at
    from timbral.gallery.from_embeddings import EmbeddedSpeakers
    from timbral.io.progress import bar

    speakers = EmbeddedSpeakers.read(embeddings)
    evidence = evidence_for(speakers.encoder, calibration, encoder)
    with bar("enrolling") as progress:
        return enroll_embeddings_at(
            location, speakers, evidence, consent=consent, force=force, progress=progress
        )


def _report(enrollment: Enrollment, gallery: str, json: bool) -> int:
    failed = SOME_FAILED if enrollment.refused else OK
    if json:
        content = {
            "enrolled": True,
            "name": enrollment.name,
            "is_new": enrollment.is_new,
            "accepted": enrollment.accepted,
            "refused": [each._asdict() for each in enrollment.refused],
            "num_recordings": enrollment.num_recordings,
            "speech_seconds": enrollment.speech_seconds,
            "warnings": enrollment.warnings,
        }
        print(dumps(content, indent=2, ensure_ascii=False))
        _warn(enrollment.warnings)
        return failed
    for each in enrollment.refused:
        print(f"refused: {each.recording}: {each.reason}", file=sys.stderr)
    what = "new voice" if enrollment.is_new else "voice"
    print(
        f"{enrollment.name}: {count(len(enrollment.accepted), 'recording')} added to {gallery}; "
        f"{what} of {count(enrollment.num_recordings, 'recording')}, "
        f"{enrollment.speech_seconds:.1f} s of speech"
    )
    _warn(enrollment.warnings)
    return failed


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(f"note: {name_flags(warning, 'enroll')}", file=sys.stderr)


def _report_error(error: EnrollmentError, json: bool) -> int:
    if json:
        content = {
            "enrolled": False,
            "name": error.voice,
            "refused": [each._asdict() for each in error.refusals],
        }
        print(dumps(content, indent=2, ensure_ascii=False))
        return SOME_FAILED
    for each in error.refusals:
        print(f"refused: {each.recording}: {each.reason}", file=sys.stderr)
    advice = "".join(f"; {each}" for each in _advice(error))
    print(f"{error.voice}: nothing was enrolled{advice}", file=sys.stderr)
    return SOME_FAILED


def _advice(error: EnrollmentError) -> Iterator[str]:
    """What is there already, and each option that would enroll recordings, with their number."""
    if error.num_partial:
        yield f"--partial enrolls {_the_others(error.num_partial)}"
    kinds = {each.kind for each in error.refusals}
    if kinds == {"same-recording"} and not error.num_partial:
        yield "all that was given is in the gallery"
    if error.num_force and not error.is_repeated:
        again = ", also what repeats another" if "same-recording" in kinds else ""
        which = _all(error.num_force, "unusable" in kinds)
        yield f"--force enrolls {which} without the checks{again}"


def _the_others(number: int) -> str:
    return "the other" if number == 1 else f"the other {number:,}"


def _all(number: int, unusable: bool) -> str:
    """The recordings that --force enrolls, in words; with `unusable`, some have no vector."""
    if unusable:
        return "the usable one" if number == 1 else f"the {number:,} usable ones"
    return {1: "it", 2: "both"}.get(number, f"all {number:,}")


def _report_speakers(speakers: EnrolledSpeakers, gallery: str, json: bool, force: bool) -> int:
    refused = {
        name: [each._asdict() for each in reasons] for name, reasons in speakers.refused.items()
    }
    if json:
        content = {
            "num_enrolled": speakers.num_enrolled,
            "num_unchanged": speakers.num_unchanged,
            "num_recordings": speakers.num_recordings,
            "refused": refused,
            "warnings": speakers.warnings,
        }
        print(dumps(content, indent=2, ensure_ascii=False))
    else:
        for name, reasons in list(speakers.refused.items())[:SHOWN]:
            for each in reasons:
                print(f"refused: {name}: {each.recording}: {each.reason}", file=sys.stderr)
        print(
            f"{count(speakers.num_enrolled, 'voice')} with "
            f"{count(speakers.num_recordings, 'recording')} added to {gallery}, "
            f"{speakers.num_unchanged:,} were there, {len(refused):,} refused"
        )
        if refused and not force:
            print("--force enrolls refused voices without the checks", file=sys.stderr)
    _warn(speakers.warnings)
    return SOME_FAILED if refused else OK
