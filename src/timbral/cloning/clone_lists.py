"""Read lists of clones: two columns, tables, and meta.lst of seed-tts-eval."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from timbral.audio.decode import AUDIO_SUFFIXES
from timbral.data.text_columns import BAR, TABLE_SUFFIXES, read_text_columns
from timbral.errors import DataError
from timbral.io.storage import location_below
from timbral.io.text import BLANKS, read_lines, split_words

__all__ = ["ListedClone", "read_clone_list", "read_meta"]

COLUMNS = ("synthesized", "reference", "name", "speaker", "system")
META = "name|prompt text|prompt recording|text[|recording of the text by the prompt's speaker]"


@dataclass(frozen=True)
class ListedClone:
    """A line of a list; paths are absolute, or URLs."""

    name: str
    synthesized: str
    """empty if the list does not contain it"""
    reference: str
    speaker: str = ""
    system: str = ""
    truth: str = ""
    """another recording of the reference's speaker, with the text that was synthesized"""


def read_clone_list(path: Path) -> list[ListedClone]:
    """Read a table with the columns `synthesized` and `reference`, or lines of two paths.

    The columns `name`, `speaker` and `system` are optional. Two paths are separated by a tab if the
    list has any, by a bar if each line has one after a recording, else by spaces. They are relative
    to the list's folder. Raises DataError with the line.
    """
    rows = _table_rows(path) if path.suffix.lower() in TABLE_SUFFIXES else _line_rows(path)
    if not rows:
        raise DataError(
            f"{path}: contains no clone; a line should contain the synthesized recording and its "
            "reference"
        )
    below = path.resolve().parent
    pairs = [
        (location_below(below, row["synthesized"]), location_below(below, row["reference"]))
        for row in rows
    ]
    systems = [row.get("system", "") for row in rows]
    _refuse_repeated_pairs(list(zip(systems, pairs, strict=True)), path)
    names = _names([synthesized for synthesized, _ in pairs], systems)
    return [
        ListedClone(row.get("name") or name, *pair, row.get("speaker", ""), row.get("system", ""))
        for row, name, pair in zip(rows, names, pairs, strict=True)
    ]


def _refuse_repeated_pairs(pairs: Sequence[tuple[str, tuple[str, str]]], path: Path) -> None:
    pair, count = Counter(pairs).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{path}: lists {pair[1][0]} with {pair[1][1]} {count} times; list each pair once"
        )


def _names(synthesized: Sequence[str], systems: Sequence[str]) -> list[str]:
    """Names of clones: the names of their files, or their paths below the common folder if two
    files of a system have the same name.
    """
    stems = [Path(path).stem for path in synthesized]
    files = set(zip(systems, synthesized, strict=True))
    if len({(system, Path(path).stem) for system, path in files}) == len(files):
        return stems
    folders = [str(Path(path).parent) for path in synthesized]
    common = f"{os.path.commonpath(folders)}/" if len({path[:1] for path in folders}) == 1 else ""
    return [str(Path(path.removeprefix(common)).with_suffix("")) for path in synthesized]


def _table_rows(path: Path) -> list[dict[str, str]]:
    table, names = read_text_columns(path, COLUMNS)
    for needed in COLUMNS[:2]:
        if needed not in table.column_names:
            raise DataError(
                f"{path}: has no column {needed!r}. synthesized and reference are required; name, "
                f"speaker and system are optional; it has: {', '.join(names)}"
            )
    rows = [{key: value or "" for key, value in row.items()} for row in table.to_pylist()]
    for number, row in enumerate(rows, start=1):
        if not row["synthesized"] or not row["reference"]:
            raise DataError(f"{path}: row {number} needs both synthesized and reference")
    return rows


def _line_rows(path: Path) -> list[dict[str, str]]:
    lines = read_lines(path, "a list of clones")
    has_tabs = any("\t" in line for _, line in lines)
    has_bars = not has_tabs and all(map(_is_pair_with_bar, (line for _, line in lines)))
    rows = []
    for number, line in lines:
        if line.count(BAR) >= 3:
            raise DataError(f"{path}:{number}: is a line of meta.lst; give that file as `meta`")
        if has_bars:
            words = [each.strip(BLANKS) for each in line.split(BAR)]
        else:
            words = line.split("\t") if has_tabs else split_words(line)
        if len(words) != 2:
            raise DataError(
                f"{path}:{number}: a line should contain the synthesized recording and its "
                "reference, separated by a space; if paths contain spaces, by a tab or by one | "
                f"in each line; got {line[:80]!r}"
            )
        rows.append(dict(zip(COLUMNS, words, strict=False)))
    return rows


def _is_pair_with_bar(line: str) -> bool:
    """Whether a line is ``a.wav|b.wav``; the bar in ``a|1.wav b.wav`` belongs to a name."""
    first, *others = line.split(BAR)
    suffix = Path(first.rstrip(BLANKS)).suffix.lower()
    return len(others) == 1 and suffix in AUDIO_SUFFIXES and bool(others[0].strip(BLANKS))


def read_meta(path: Path) -> list[ListedClone]:
    """Read lines ``name|prompt text|prompt recording|text[|recording]``, as in seed-tts-eval.

    Paths are relative to the list's folder. Raises DataError with the line.
    """
    below = path.resolve().parent
    listed = []
    for number, line in read_lines(path, "a meta.lst of seed-tts-eval"):
        fields = line.split("|")
        if len(fields) not in (4, 5) or not fields[0] or not fields[2]:
            raise DataError(
                f"{path}:{number}: a line should be {META}; got {len(fields)} fields separated by |"
            )
        truth = location_below(below, fields[4]) if fields[4:] and fields[4] else ""
        prompt = location_below(below, fields[2])
        name = fields[0].removesuffix(".wav")
        listed.append(ListedClone(name, "", prompt, truth=truth))
    _refuse_repeated([each.name for each in listed], path)
    return listed


def _refuse_repeated(names: Sequence[str], path: Path) -> None:
    if not names:
        raise DataError(f"{path}: contains no clone; a line should be {META}")
    repeated, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: contains {repeated!r} more than once")
