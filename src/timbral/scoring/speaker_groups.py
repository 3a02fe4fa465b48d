"""Groups of speakers within which non-target trials are drawn: of one gender, of one accent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from timbral.data.manifest import Manifest
from timbral.errors import DataError, did_you_mean
from timbral.scoring.genders import GENDERS, read_genders

__all__ = ["speaker_groups"]


def speaker_groups(
    manifest: Manifest,
    genders: str | Path | Mapping[str, str] | None,
    same: Sequence[str],
) -> dict[str, str] | None:
    """The group of each speaker, in words; None without `genders` and `same`.

    genders: a mapping by speaker, or a file of lines ``speaker gender``. same: further columns of
    the manifest; speakers of a group have the same value in each.

    Raises DataError for a speaker without a value, or with several, and for an unknown column.
    """
    speakers = manifest.table["speaker"].unique().to_pylist()
    given = {} if genders is None else {"gender": read_genders(genders)}
    if "gender" in given:
        _check_all_known(speakers, given["gender"], "`genders`")
    values = [*given.values(), *(_of_column(manifest, column) for column in same)]
    if not values:
        return None
    return {speaker: ", ".join(each[speaker] for each in values) for speaker in speakers}


def _check_all_known(speakers: Sequence[str], known: Mapping[str, str], where: str) -> None:
    if unknown := sorted(set(speakers).difference(known)):
        some = ", ".join(sorted(known)[:3]) or "nobody"
        raise DataError(
            f"{len(unknown)} of {len(speakers)} speakers have no gender, the first: {unknown[0]}; "
            f"{where} contains {some}"
        )


def _of_column(manifest: Manifest, column: str) -> dict[str, str]:
    if column not in manifest.further_names:
        has = did_you_mean(column, manifest.further_names) if manifest.further_names else ""
        raise DataError(f"the corpus has no column {column!r}{has or ', and no similar one'}")
    value_of: dict[str, str] = {}
    for speaker, value in _pairs(manifest, column):
        if value == "":
            raise DataError(f"speaker {speaker} has a recording without a value of {column!r}")
        if value_of.setdefault(speaker, value) != value:
            raise DataError(
                f"speaker {speaker} has several values of {column!r}, {value_of[speaker]} and "
                f"{value}; to group non-target trials by a column, each speaker needs a single "
                "value"
            )
    return value_of


def _pairs(manifest: Manifest, column: str) -> Iterator[tuple[str, str]]:
    """Speaker and value of each utterance; spellings of genders (M, male) are unified."""
    for batch in manifest.table.select(["speaker", column]).to_batches():
        for speaker, value in zip(*(each.to_pylist() for each in batch.columns), strict=True):
            text = "" if value is None else str(value)
            yield speaker, GENDERS.get(text.lower(), text) if column == "gender" else text
