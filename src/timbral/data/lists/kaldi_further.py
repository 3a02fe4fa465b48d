"""Further columns of a Kaldi data directory: ``spk2gender``, ``utt2lang``, ``text`` and others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.data.further_columns import Value
from timbral.data.manifest import Utterance
from timbral.data.name_pairs import named_lines
from timbral.errors import DataError

__all__ = ["TEXT", "FurtherFiles", "further_files"]

TEXT = "text"
"""the column of transcripts, and the file that holds them"""
OWN_FILES = ("utt2spk", "spk2utt", "utt2session")
WORD = re.compile(r"\w+")
"""a column's name that can be a part of a file's name"""
NOT_IN_WORDS = re.compile(r"\W+")


@dataclass(frozen=True)
class FurtherFiles:
    """The files' values: by column, and then by speaker or by utterance."""

    of_speakers: Mapping[str, Mapping[str, str]]
    of_utterances: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, root: Path) -> FurtherFiles:
        """The files of a data directory; DataError for one that cannot be read, or a key twice."""
        of_utterances = _read_files(root, "utt2")
        if (root / TEXT).is_file():
            of_utterances[TEXT] = _read(root / TEXT)
        return cls(_read_files(root, "spk2"), of_utterances)

    def values(self, utterance: str, speaker: str) -> dict[str, Value]:
        """The values for an utterance; those by utterance take precedence."""
        merged: dict[str, Value] = {}
        for columns, key in ((self.of_speakers, speaker), (self.of_utterances, utterance)):
            merged |= {name: values[key] for name, values in columns.items() if key in values}
        return merged


def _read_files(root: Path, prefix: str) -> dict[str, Mapping[str, str]]:
    return {
        name: _read(path)
        for path in sorted(root.glob(f"{prefix}*"))
        if WORD.fullmatch(name := path.name.removeprefix(prefix))
        and path.name not in OWN_FILES
        and path.is_file()
    }


def _read(path: Path) -> dict[str, str]:
    """The value of each key; lines without a value, such as empty transcripts, are skipped."""
    lines = named_lines(path, "a list of a Kaldi data directory")
    return {key: value for _, key, value in lines if value}


def further_files(rows: Sequence[tuple[str, str, Utterance]]) -> dict[str, list[str]]:
    """The files of further columns and their lines, for `rows` (id, speaker, utterance) in order.

    A column in which no speaker has two values becomes ``spk2NAME``, any other ``utt2NAME``; in
    NAME, anything but letters and digits becomes ``_``. Raises DataError if that file has another
    meaning, or is another column's, too.
    """
    files: dict[str, list[str]] = {}
    taken: set[str] = set()
    for column in dict.fromkeys(name for _, _, row in rows for name in row.further):
        word = NOT_IN_WORDS.sub("_", column)
        if f"utt2{word}" in OWN_FILES or word in {"utt", *taken}:
            raise DataError(
                f"the column {column!r} cannot be written as a file of a Kaldi data directory, "
                f"because utt2{word} has another meaning; rename the column, or write a table"
            )
        taken.add(word)
        values = [
            (name, speaker, _one_line(row.further.get(column))) for name, speaker, row in rows
        ]
        of_speaker: dict[str, set[str]] = {}
        for _, speaker, value in values:
            of_speaker.setdefault(speaker, set()).add(value)
        if column != TEXT and all(len(each) == 1 for each in of_speaker.values()):
            pairs = [(speaker, min(each)) for speaker, each in sorted(of_speaker.items())]
            name = f"spk2{word}"
        else:
            pairs = [(name, value) for name, _, value in values]
            name = TEXT if column == TEXT else f"utt2{word}"
        files[name] = [f"{key} {value}\n" for key, value in pairs if value]
    return files


def _one_line(value: Value) -> str:
    return " ".join(str(value).split()) if value is not None else ""
