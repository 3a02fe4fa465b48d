"""Arguments, checks and evidence that the verbs on galleries share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import option

if TYPE_CHECKING:
    from timbral.calibration.calibration import Calibration
    from timbral.gallery.encoder_identity import EncoderIdentity
    from timbral.gallery.evidence import Evidence
    from timbral.gallery.gallery import Gallery

__all__ = [
    "GalleryCalibration",
    "GalleryLocation",
    "check_has_encoder",
    "encoder_of",
    "evidence_for",
    "other_than_gallery",
]

WORDS_SHOWN = 5
"""the most words of a command that an error message repeats"""
GalleryLocation = Annotated[
    Positional[str], option("GALLERY", "a file, or postgresql://USER@HOST/DATABASE")
]
GalleryCalibration = Annotated[
    Path | None,
    option(
        "FILE",
        "a calibration of the gallery's encoder, from `timbral calibrate`; default: the "
        "encoder's own",
    ),
]


def check_has_encoder(gallery: str, words: Sequence[str]) -> None:
    """Raise ConfigError, with a command that works, if the gallery does not exist yet.

    A new gallery needs an encoder; an existing one has its own.

    Args:
        gallery: a file, or the URL of a server, which is not checked
        words: the words of the command that was given, for the message
    """
    from timbral.checkpoints.known_names import DEFAULT_ENCODER
    from timbral.errors import ConfigError
    from timbral.gallery.opening_gallery import is_server
    from timbral.gallery.sqlite_database import galleries_beside

    path = Path(gallery)
    if is_server(gallery) or path.exists() or path.is_symlink():
        return
    shown = list(words) if len(words) <= WORDS_SHOWN else [*words[: WORDS_SHOWN - 1]]
    more = " …" if len(shown) < len(words) else ""
    raise ConfigError(
        f"{gallery}: no such gallery{galleries_beside(path)}; a new one needs an encoder, "
        f"as in `timbral {shlex.join(shown)}{more} --encoder {DEFAULT_ENCODER}`, which ships with "
        "timbral (others: `timbral models`)"
    )


def other_than_gallery(word: str) -> str:
    """What a word is that was given as GALLERY but is none; empty if it may be a gallery."""
    from timbral.data.listed_recordings import is_recording
    from timbral.gallery.opening_gallery import is_server

    if is_recording(word):
        return "a recording"
    return "a folder" if not is_server(word) and Path(word).is_dir() else ""


def encoder_of(gallery: Gallery) -> str:
    """The name of a gallery's encoder, for `load_encoder`.

    Raises ConfigError if no encoder of this name is known on this machine.
    """
    from timbral.checkpoints.known_names import refuse_unknown
    from timbral.errors import CheckpointError, ConfigError

    try:
        refuse_unknown(gallery.encoder.name)
    except CheckpointError:
        raise ConfigError(
            f"{gallery.location}: its encoder {gallery.encoder} is not known on this machine; "
            "give its run folder, checkpoint or file as `encoder`"
        ) from None
    return gallery.encoder.name


def evidence_for(
    encoder: EncoderIdentity, calibration: Path | None, named: str | None = None
) -> Evidence:
    """What decisions about a gallery's vectors rest on: a calibration or a cosine threshold.

    Args:
        encoder: the gallery's encoder
        calibration: a file; None: the calibration that the encoder comes with, if any
        named: the gallery's encoder as given on the command line, which is loaded and may also
            have a threshold from its validation; None: no encoder is loaded

    Raises:
        DataError: the calibration or the named encoder is not that of the gallery
    """
    if named is not None:
        return _evidence_of_named(encoder, calibration, named)
    from timbral.calibration.calibration_file import read_calibration
    from timbral.gallery.evidence import CalibratedEvidence, CosineEvidence

    if calibration is not None:
        given = read_calibration(calibration)
        given.check_encoder(
            encoder.weights_sha256,
            encoder.embedding_sha256 or given.embedding_sha256,
            str(calibration),
        )
        return CalibratedEvidence(given)
    known = _known(encoder)
    if known is not None:
        return CalibratedEvidence(known)
    evidence = CosineEvidence()
    print(
        f"note: no calibration of {encoder.name} is known, so decisions use "
        f"{evidence.description}; give one with --calibration, or give the encoder with "
        "--encoder, which may have a threshold from its validation",
        file=sys.stderr,
    )
    return evidence


def _evidence_of_named(encoder: EncoderIdentity, calibration: Path | None, named: str) -> Evidence:
    from timbral.gallery.encoder_identity import EncoderIdentity
    from timbral.gallery.evidence import evidence_of
    from timbral.inference.load import load_encoder

    embedder = load_encoder(named, device="cpu")
    encoder.check_same(EncoderIdentity.of(embedder), "gallery")
    return evidence_of(embedder, calibration)


def _known(encoder: EncoderIdentity) -> Calibration | None:
    """The calibration that the encoder of this name comes with, if it is for these weights."""
    from timbral.io.loaded_torch import torch_is_installed

    if not torch_is_installed():  # an encoder's own calibration is read with torch
        return None
    from timbral.calibration.known import known_calibration
    from timbral.checkpoints.resolve import resolve
    from timbral.errors import TimbralError

    try:
        known = known_calibration(resolve(encoder.name))
        if known is not None:
            known.check_encoder(
                encoder.weights_sha256, encoder.embedding_sha256 or known.embedding_sha256
            )
    except TimbralError:  # the name is of an architecture, or the weights are not on this machine
        return None
    return known
