"""Convert a gallery to another encoder's vectors without the audio; the old one is not changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timbral.calibration.calibration import Calibration
from timbral.embeddings.vectors import unit_length
from timbral.errors import DataError
from timbral.gallery.bridge import Bridge, fit_bridge
from timbral.gallery.bridge_calibration import PairedVectors, calibrate_bridge
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.gallery import Gallery
from timbral.gallery.migration import Migration, text_of, text_of_matrix
from timbral.gallery.opening_gallery import is_server, open_database
from timbral.gallery.voice_store import VoiceStore
from timbral.gallery.voices import EnrolledRecording, Voice
from timbral.io.temporary import empty_temporary_folder
from timbral.io.types import Floats

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["MigrationSummary", "migrate_gallery"]

OWN_MEAN = 30
"""from this number of voices on, a gallery's own mean is subtracted from its vectors, not the
bridge's"""
MIN_DOMAIN = 30
"""recordings needed for a mean; more would change it little"""
SHORT_SECONDS = 4.0
"""mapped voices with less net speech are marked for enrolling again"""


@dataclass(frozen=True)
class MigrationSummary:
    """The result of a migration."""

    output: str
    num_voices: int
    num_recordings: int
    enroll_again: dict[str, str]
    """voices that are likely to have lost too much, and why"""
    num_paired: int
    """number of recordings in the bridge"""
    num_speakers: int
    """number of speakers in the bridge"""
    cross_eer: float
    """EER of trials between an old and a new vector, of one recording each, of held-out speakers"""
    calibration: Calibration


def migrate_gallery(
    gallery: str | Path | Gallery,
    encoder: Embedder | EncoderIdentity,
    old_vectors: str | Path,
    new_vectors: str | Path,
    output: str | Path,
    *,
    unlabeled: Sequence[tuple[str | Path, str | Path]] = (),
    domain: str | Path | None = None,
) -> MigrationSummary:
    """Convert enrolled voices to another encoder with a map between the vectors of both.

    Args:
        gallery: a gallery, or its location; it is not changed
        encoder: the new encoder
        old_vectors: an `embed` folder of any corpus, from the gallery's encoder
        new_vectors: the same corpus from `encoder`; recordings are matched by utterance
        output: the file of the new gallery, which must not exist; it appears when complete
        unlabeled: more pairs of `embed` folders like `old_vectors` and `new_vectors` to fit the map
            to; speakers need not be known. Each is centered separately
        domain: an `embed` folder from `encoder`, of recordings like the gallery's (channel,
            language); speakers need not be known. New recordings are centered by their mean; None:
            by the mean of `new_vectors`

    Raises DataError for the gallery's own encoder, vectors of other encoders, a bridge of fewer
    than 20 speakers with two recordings each, an existing `output`, and a gallery with voices that
    were already mapped.
    """
    source = gallery if isinstance(gallery, Gallery) else Gallery(gallery)
    identity = EncoderIdentity.of(encoder)
    path = _claimed(output)
    if replace(identity, name=source.encoder.name) == source.encoder:
        raise DataError(
            f"{source.location}: its vectors are of {source.encoder} already, which compares with "
            "them as they are; give another encoder to migrate to"
        )
    mapped_before = [name for name, old in _mapped(source) if old]
    if mapped_before:
        raise DataError(
            f"{source.location}: {len(mapped_before):,} of its voices are already mapped from "
            f"another encoder, such as {mapped_before[0]!r}; migrate the original gallery"
        )
    paired = PairedVectors.read(old_vectors, new_vectors, source.encoder, identity)
    others = [PairedVectors.read(*each, source.encoder, identity).unlabeled for each in unlabeled]
    bridge = fit_bridge(paired.old, paired.new, paired.speakers, unlabeled=others)
    calibration = calibrate_bridge(bridge, paired, source.encoder, identity, unlabeled=others)
    if domain is not None:
        bridge = replace(bridge, new_mean=_mean_of(domain, identity))
    migration = _migration(source.encoder, bridge, calibration)
    with empty_temporary_folder(path) as folder:
        temporary = folder / "gallery.db"
        with Gallery.create(temporary, identity) as new:
            num_recordings = _copy(source, new, bridge)
            marks = _marks(source, bridge)
        _finish(temporary, text_of(migration), source, marks)
        _give_name(temporary, path)
    return MigrationSummary(
        output=str(path),
        num_voices=len(source),
        num_recordings=num_recordings,
        enroll_again=marks,
        num_paired=len(paired.speakers) + sum(len(each.old) for each in others),
        num_speakers=len(set(paired.speakers)),
        cross_eer=bridge.cross_eer,
        calibration=calibration,
    )


def _migration(old: EncoderIdentity, bridge: Bridge, calibration: Calibration) -> Migration:
    """What the new gallery stores of the map from the `old` encoder."""
    return Migration(
        old_encoder=old.name,
        old_weights_sha256=old.weights_sha256,
        new_mean=tuple(float(value) for value in bridge.new_mean),
        calibration=calibration,
        penalty=bridge.penalty,
        cross_eer=bridge.cross_eer,
        origin=text_of_matrix(bridge.origin),
        backward=text_of_matrix(bridge.backward),
    )


def _finish(path: Path, content: str, source: Gallery, marks: Mapping[str, str]) -> None:
    """Store what compares mapped voices with new recordings, and the voices' dates and notes."""
    store = VoiceStore(open_database(path))
    with store.writing():
        store.set_migration(content)
        for each in source.voices():
            store.keep_notes(each, marks.get(each.name, ""))
    store.database.close()


def _give_name(temporary: Path, path: Path) -> None:
    """Give the new gallery its name; DataError if a file of that name exists by now."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise DataError(
            f"{path}: was created by another process in the meantime and is kept; choose another "
            "`output`"
        ) from None


def _claimed(output: str | Path) -> Path:
    if is_server(output):
        raise DataError(f"{output}: the new gallery must be a file; copy it to a server afterwards")
    path = Path(output)
    if path.exists():
        raise DataError(f"{path}: exists already; a migration writes a new gallery")
    return path


def _mapped(gallery: Gallery) -> list[tuple[str, bool]]:
    snapshot = gallery.snapshot()
    return list(zip(snapshot.names, snapshot.mapped.tolist(), strict=True))


def _voices(gallery: Gallery) -> Iterator[Voice]:
    for summary in gallery.voices():
        yield gallery.voice(summary.name)


def _mean_of(domain: str | Path, identity: EncoderIdentity) -> Floats:
    """The mean (F,) of the unit vectors of a domain's recordings."""
    recordings = EmbeddedSpeakers.read(domain)
    recordings.encoder.check_same(identity, str(domain))
    if len(recordings.vectors) < MIN_DOMAIN:
        raise DataError(
            f"{domain}: at least {MIN_DOMAIN} recordings like the gallery's are needed to compute "
            f"their mean, it has {len(recordings.vectors)}"
        )
    mean: Floats = unit_length(recordings.vectors).mean(axis=0).astype(np.float64)
    return mean


def _own_mean(gallery: Gallery) -> Floats | None:
    """The mean (E,) of the voices; None if there are too few of them."""
    _, vectors = gallery.matrix()
    return vectors.mean(axis=0).astype(np.float64) if len(vectors) >= OWN_MEAN else None


def _copy(source: Gallery, new: Gallery, bridge: Bridge) -> int:
    """Enroll every recording with its mapped vector; returns their number."""
    mean, count = _own_mean(source), 0

    def mapped() -> Iterator[tuple[str, list[EnrolledRecording]]]:
        nonlocal count
        for voice in _voices(source):
            old = np.stack([each.vector for each in voice.recordings])
            vectors = bridge.uncenter(bridge.map(old, mean))
            count += len(vectors)
            yield (
                voice.name,
                [
                    replace(each, vector=vector, mapped=True, id=0, precision="")
                    for each, vector in zip(voice.recordings, vectors, strict=True)
                ],
            )

    new.add_many(mapped())
    return count


def _marks(source: Gallery, bridge: Bridge) -> dict[str, str]:
    """The voices that should be enrolled again, and why."""
    marks = {each.name: each.enroll_again for each in source.voices() if each.enroll_again}
    for each in source.voices():
        if each.speech_seconds < SHORT_SECONDS:
            marks.setdefault(
                each.name, f"its mapped vector is from only {each.speech_seconds:.1f} s of speech"
            )
    names, vectors = source.matrix()
    carried = bridge.carried(vectors, _own_mean(source)) if len(names) else np.zeros(0)
    for name, fraction in zip(names, carried, strict=True):
        if fraction < bridge.least_carried:
            marks.setdefault(
                name, "the map keeps less of it than of 95 % of the voices in the bridge"
            )
    return marks
