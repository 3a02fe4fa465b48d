"""Names of other tools for the columns of a table of utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timbral.errors import DataError

__all__ = ["ALIASES", "column_called", "describe_aliases", "find_columns", "own_columns"]

ALIASES: Mapping[str, tuple[str, ...]] = {
    "path": ("audio_filepath", "audio_path", "file_path", "filepath", "wav_path", "wav", "audio",
             "audio_file", "file", "filename", "file_name"),
    "speaker": ("speaker_id", "speaker_name", "spk", "spk_id", "client_id", "label"),
    "utterance": ("utterance_id", "utt", "utt_id", "uttid"),
    "session": ("session_id",),
    "start": ("offset",),
}  # fmt: skip
"""the likeliest first; NeMo writes `offset`, with a column `duration`"""


OWN = ("path", "speaker", "utterance", "session", "corpus", "start", "end")


def find_columns(names: Sequence[str], where: object = "the table") -> dict[str, str]:
    """The table's columns by timbral's names, recognized by these or by other tools' names.

    Case matters only if several columns differ in nothing else: then the one in lowercase is taken.
    Raises DataError, naming `where`, if there is none in lowercase.
    """
    columns = own_columns(names, where)
    for name, aliases in ALIASES.items():
        if name in columns:
            continue
        left = [each for each in names if each not in columns.values()]
        known = (column_called(each, left, where) for each in aliases)
        if (column := next(filter(None, known), None)) is not None:
            columns[name] = column
    if columns.get("start", "").lower() == "offset":
        duration = column_called("duration", names, where)
        columns |= {"duration": duration} if duration else {}
    return columns


def own_columns(names: Sequence[str], where: object) -> dict[str, str]:
    """The table's columns that have timbral's names (`OWN`), as `find_columns` finds them."""
    found = ((name, column_called(name, names, where)) for name in OWN)
    return {name: column for name, column in found if column is not None}


def column_called(name: str, names: Sequence[str], where: object) -> str | None:
    """The column of that name, else the only one that differs from it in case; None for none.

    Raises DataError, naming `where`, if several differ from it in case.
    """
    if name in names:
        return name
    alike = [each for each in names if each.lower() == name]
    if len(alike) > 1:
        raise DataError(
            f"{where}: which column is {name}: {' or '.join(alike)}? Rename the others, or write "
            f"the one as {name}"
        )
    return alike[0] if alike else None


def describe_aliases(found: Mapping[str, str]) -> str:
    """``speaker is client_id, …`` for columns with other tools' names; empty without any."""
    return ", ".join(f"{name} is {column}" for name, column in found.items() if name != column)
