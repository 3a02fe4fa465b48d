"""The gender of each speaker, as corpora and Kaldi's spk2gender write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timbral.data.name_pairs import read_pairs
from timbral.errors import DataError

__all__ = ["GENDERS", "read_genders"]

GENDERS = {
    **dict.fromkeys(("m", "male"), "male"),
    **dict.fromkeys(("f", "female"), "female"),
    **dict.fromkeys(("o", "other"), "other"),
    **dict.fromkeys(("u", "unknown"), "unknown"),
}
"""spellings, in any case, and their meanings"""


def read_genders(given: str | Path | Mapping[str, str]) -> dict[str, str]:
    """The gender of each speaker: male, female, other or unknown.

    given: a mapping by speaker, or a file of lines ``speaker gender``. Raises DataError for any
    other file, and for an unknown gender.
    """
    if isinstance(given, Mapping):
        written = given
    else:
        written = read_pairs(Path(given), "a list of genders", single_words=True)
    where = "genders" if isinstance(given, Mapping) else str(given)
    odd = next((name for name, word in written.items() if word.lower() not in GENDERS), None)
    if odd is not None:
        raise DataError(
            f"{where}: {odd} has the gender {written[odd]!r}; a line should be `speaker gender`, "
            f"with one of {', '.join(GENDERS)}"
        )
    return {name: GENDERS[word.lower()] for name, word in written.items()}
