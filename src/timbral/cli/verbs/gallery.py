"""The verb gallery: its actions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional

from timbral.cli.common_options import DEFAULT_RUNNING, OK, SOME_FAILED, load_embedder, option
from timbral.cli.early_checks import check_files, check_folders
from timbral.cli.gallery_options import GalleryCalibration, GalleryLocation, evidence_for
from timbral.cli.wording import count, percent
from timbral.errors import ConfigError, MergeError

if TYPE_CHECKING:
    from timbral.gallery.gallery import Gallery

__all__ = ["run"]


EncoderOption = Annotated[
    str | None,
    option(
        "ENCODER", "with check and merge: the gallery's encoder, for its calibration or threshold"
    ),
]
BridgeOption = Annotated[
    tuple[Path, Path] | None,
    option(
        "OLD NEW", "with migrate: embed folders of one corpus, from the old and the new encoder"
    ),
]
UnlabeledOption = Annotated[
    tuple[tuple[Path, Path], ...],
    option(
        "OLD NEW …",
        "with migrate: more such folders from other corpora, whose speakers need not be known",
    ),
]
DomainOption = Annotated[
    Path | None,
    option(
        "NEW",
        "with migrate: an embed folder from the new encoder, of recordings like the "
        "gallery's; speakers need not be known",
    ),
]
Action = Literal["list", "show", "remove", "merge", "rename", "export", "check", "migrate"]


@dataclass(frozen=True)
class Request:
    """The arguments of an action."""

    names: tuple[str, ...]
    recordings: tuple[int, ...]
    output: Path | None
    calibration: Path | None
    encoder: str | None
    to: str | None
    bridge: tuple[Path, Path] | None
    unlabeled: tuple[tuple[Path, Path], ...]
    domain: Path | None
    force: bool
    json: bool


def run(
    action: Annotated[
        Positional[Action],
        option(
            None,
            "list: list all voices; show, remove: the named voices; merge: merge the second into "
            "the first, if they sound like one speaker; rename: rename the first to the second; "
            "export: write a table of all vectors; check: find voices that may be one speaker, "
            "and recordings that may be of another speaker; migrate: convert to another encoder's "
            "vectors in a new gallery, without the audio",
        ),
    ],
    gallery: GalleryLocation,
    names: Annotated[Positional[tuple[str, ...]], option("NAME …", "names of voices")] = (),
    *,
    recordings: Annotated[
        tuple[int, ...],
        option("N …", "with remove: only these recordings of one voice, numbered as in show"),
    ] = (),
    output: Annotated[
        Path | None,
        option("FILE", "with export: the table; with migrate: the new gallery"),
    ] = None,
    calibration: GalleryCalibration = None,
    encoder: EncoderOption = None,
    to: Annotated[str | None, option("ENCODER", "with migrate: the new encoder")] = None,
    bridge: BridgeOption = None,
    unlabeled: UnlabeledOption = (),
    domain: DomainOption = None,
    force: Annotated[
        bool, option(None, "with merge: merge even if the voices do not sound alike")
    ] = False,
    json: Annotated[bool, option(None, "with list, show and check: print JSON")] = False,
) -> int:
    """List, show, remove, merge, export, check or migrate voices.

    example: timbral gallery list gallery.db
    """
    check_files(calibration)
    if force and action != "merge":
        raise ConfigError("`force` is only for merge; leave it out")
    if recordings and (action != "remove" or len(names) != 1):
        raise ConfigError(
            "`recordings` is only for remove, with the name of one voice; leave it out"
        )
    from timbral.gallery.gallery import Gallery

    _check_names(action, names)
    request = Request(
        names, recordings, output, calibration, encoder, to, bridge, unlabeled, domain, force, json
    )
    with Gallery(gallery) as opened:
        return ACTIONS[action](opened, request)


def _check_names(action: Action, names: tuple[str, ...]) -> None:
    """Raise ConfigError for fewer or more names than an action takes."""
    low, high = NAMES[action]
    if not low <= len(names) <= high:
        wanted = {0: "no name", 1: "the names of voices", 2: "the names of two voices"}[low]
        raise ConfigError(f"gallery {action} takes {wanted}, got {count(len(names), 'name')}")


def _list(gallery: Gallery, request: Request) -> int:
    voices = gallery.voices()
    if request.json:
        content = {
            "encoder": asdict(gallery.encoder),
            "precisions": gallery.precisions(),
            "voices": [asdict(each) for each in voices],
        }
        print(dumps(content, indent=2, ensure_ascii=False))
        return OK
    print(f"{count(len(voices), 'voice')} of {gallery.encoder}{_in_precision(gallery)}")
    width = max((len(each.name) for each in voices), default=0)
    for each in voices:
        print(
            f"  {each.name:{width}}  {count(each.num_recordings, 'recording'):>13}  "
            f"{each.speech_seconds:7.1f} s of speech  {each.created_at[:10]}"
            f"{'  enroll again: ' + each.enroll_again if each.enroll_again else ''}"
        )
    return OK


def _in_precision(gallery: Gallery) -> str:
    """The precision of the vectors, if it is known; with numbers if there are several."""
    found = gallery.precisions()
    if found.keys() <= {""}:
        return ""
    if len(found) == 1:
        return f", computed in {next(iter(found))}"
    each = (f"{number:,} in {name or 'an unknown precision'}" for name, number in found.items())
    return f"; recordings computed: {', '.join(each)}"


def _show(gallery: Gallery, request: Request) -> int:
    voices = [gallery.voice(name) for name in request.names]
    if request.json:
        content = [
            {
                **asdict(voice.summary),
                "recordings": [
                    {key: value for key, value in asdict(each).items() if key != "vector"}
                    for each in voice.recordings
                ],
            }
            for voice in voices
        ]
        print(dumps(content, indent=2, ensure_ascii=False))
        return OK
    for voice in voices:
        noted = f", noted {voice.summary.consent_at}" if voice.summary.consent_at else ""
        print(f"{voice.name}")
        print(f"  enrolled {voice.summary.created_at}")
        print(f"  consent: {voice.summary.consent or 'none noted'}{noted}")
        for each in voice.recordings:
            seconds = each.speech_seconds
            speech = "" if seconds is None else f", {seconds:.1f} s of speech"
            notes = "".join(f", {note}" for note in (each.precision, *each.risks) if note)
            print(f"  {each.id}  {each.source} ({each.duration_seconds:.1f} s{speech}{notes})")
    return OK


def _remove(gallery: Gallery, request: Request) -> int:
    names = list(dict.fromkeys(request.names))
    for name in names:  # check that all exist before any is removed
        gallery.voice(name)
    erased = True
    for name in names:
        erased = gallery.remove(name, request.recordings)
    removed = (
        count(len(request.recordings), "recording")
        if request.recordings
        else count(len(names), "voice")
    )
    print(f"removed: {removed}")
    if erased:
        return OK
    print(f"not overwritten yet, because {_why_kept(gallery)}", file=sys.stderr)
    return SOME_FAILED


def _why_kept(gallery: Gallery) -> str:
    """Why removed data are not overwritten yet, and what will do it."""
    from timbral.gallery.opening_gallery import is_server

    if is_server(gallery.location):
        return (
            "only the user who created the gallery may rewrite its tables; their next `remove` "
            "does it, or `VACUUM FULL timbral_gallery.voices, timbral_gallery.recordings` by them"
        )
    return (
        "another process uses the gallery; the next `remove`, or the last process that closes the "
        "gallery, does it"
    )


def _merge(gallery: Gallery, request: Request) -> int:
    from timbral.embeddings.similarity import similarity

    into, other = request.names
    alike = float(similarity(gallery.voice(into).vector, gallery.voice(other).vector))
    evidence = None
    if not request.force:
        evidence = evidence_for(gallery.encoder, request.calibration, request.encoder)
    try:
        gallery.merge(into, other, evidence)
    except MergeError as error:
        for each in error.refusals:
            print(f"refused: {each.recording}: {each.reason}", file=sys.stderr)
        print(f"{into}: nothing was merged; --force merges them anyway", file=sys.stderr)
        return SOME_FAILED
    recordings = gallery.voice(into).summary.num_recordings
    print(f"{into}: has the recordings of {other}, now {recordings:,}")
    print(f"note: the two voices had a cosine of {alike:.2f}", file=sys.stderr)
    return OK


def _rename(gallery: Gallery, request: Request) -> int:
    gallery.rename(*request.names)
    print(f"{request.names[0]} is now {request.names[1]}")
    return OK


def _export(gallery: Gallery, request: Request) -> int:
    if request.output is None:
        raise ConfigError("export: give a file as `output`, such as voices.parquet")
    rows = gallery.export(request.output)
    print(f"{count(rows, 'recording')}: {request.output}")
    return OK


def _check(gallery: Gallery, request: Request) -> int:
    evidence = evidence_for(gallery.encoder, request.calibration, request.encoder)
    found = gallery.check(evidence)
    if request.json:
        print(dumps(asdict(found), indent=2, ensure_ascii=False))
        return SOME_FAILED if found.alike or found.disagreeing else OK
    print(f"{count(found.num_voices, 'voice')}, by {found.evidence}")
    print(f"{count(len(found.alike), 'pair')} of voices that may be one speaker's")
    for pair in found.alike:
        print(f"  {pair.first} and {pair.second}: {evidence.describe(pair.llr, pair.cosine)}")
    print(f"{count(len(found.disagreeing), 'recording')} that may be another speaker's")
    for each in found.disagreeing:
        print(f"  {each.voice}, recording {each.id} ({each.source}): {evidence.describe(each.llr)}")
    return SOME_FAILED if found.alike or found.disagreeing else OK


def _migrate(gallery: Gallery, request: Request) -> int:
    if request.to is None or request.bridge is None or request.output is None:
        raise ConfigError(
            "migrate needs `to` (an encoder), `bridge` (vectors of one corpus by both encoders) "
            "and `output` (the new gallery)"
        )
    pairs = [request.bridge, *request.unlabeled]
    check_folders(*(folder for pair in pairs for folder in pair))
    if request.domain is not None:
        check_folders(request.domain)
    embedder = load_embedder(request.to, DEFAULT_RUNNING)
    from timbral.gallery.migrating import migrate_gallery

    done = migrate_gallery(
        gallery,
        embedder,
        *request.bridge,
        request.output,
        unlabeled=request.unlabeled,
        domain=request.domain,
    )
    speakers = count(done.num_speakers, "speaker")
    print(
        f"{done.output}: {count(done.num_voices, 'voice')} with "
        f"{count(done.num_recordings, 'recording')}, mapped to {embedder.name} by "
        f"{count(done.num_paired, 'recording')} of {speakers}\nold voices against new recordings "
        f"of speakers that the mapping was not fitted on: EER {percent(done.cross_eer)}"
    )
    for name, reason in sorted(done.enroll_again.items()):
        print(f"  enroll again: {name}: {reason}")
    return OK


MANY = 1_000_000
NAMES: dict[str, tuple[int, int]] = {
    "list": (0, 0),
    "show": (1, MANY),
    "remove": (1, MANY),
    "merge": (2, 2),
    "rename": (2, 2),
    "export": (0, 0),
    "check": (0, 0),
    "migrate": (0, 0),
}
"""fewest and most names that each action takes"""
ACTIONS: dict[str, Callable[[Gallery, Request], int]] = {
    "list": _list,
    "show": _show,
    "remove": _remove,
    "merge": _merge,
    "rename": _rename,
    "export": _export,
    "check": _check,
    "migrate": _migrate,
}
