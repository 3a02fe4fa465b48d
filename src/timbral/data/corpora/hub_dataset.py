"""Names of Hugging Face Hub datasets as corpora.

``hf://USER/NAME[@REVISION][:[CONFIG/]SPLIT[[FIRST:LAST]]][#speaker=COLUMN&audio=COLUMN]``
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from timbral.data.corpora.hugging_face import ColumnChoice
from timbral.errors import DataError

__all__ = ["GRAMMAR", "HubDataset", "dataset_hint", "hub_dataset"]

GRAMMAR = "hf://USER/NAME[@REVISION][:[CONFIG/]SPLIT[[FIRST:LAST]]][#speaker=COLUMN&audio=COLUMN]"
PREFIX = re.compile(r"hf://(?:datasets/)?(?!datasets/)")
WORD = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
LABEL = r"[^/\[\]:#\x00-\x1f\x7f]+"
"""name of a config or a split: no character of the grammar, and no line break"""
NAME = re.compile(
    rf"(?P<repository>{WORD}/{WORD})"
    r"(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/~-]{0,127}))?"
    rf"(?::(?:(?P<config>{LABEL})/)?(?P<split>{LABEL})"
    r"(?:\[(?P<first>\d*):(?P<last>\d*)\])?)?"
    r"(?:#(?P<columns>.+))?"
)
COLUMNS = ("audio", "speaker")
BY_THEIR_NAMES = ColumnChoice(
    advice="say which at the end of the corpus's name, with #speaker=COLUMN or #audio=COLUMN"
)


@dataclass(frozen=True)
class HubDataset:
    """A dataset, a split of it, or rows of a split."""

    repository: str
    revision: str = ""
    config: str = ""
    """empty: the default, or `split` if that is a config and not a split"""
    split: str = ""
    """empty: all"""
    rows: tuple[int, int | None] | None = None
    """first row and end of the rows to read; None: all rows"""
    columns: ColumnChoice = BY_THEIR_NAMES

    def __str__(self) -> str:
        config = f"{self.config}/" if self.config else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{self.repository}{revision}" + (f":{config}{self.split}" * bool(self.split))

    def several_splits(self, splits: Iterable[str]) -> DataError:
        """The error for rows that are selected without choosing one of several splits."""
        return DataError(
            f"{self}: [FIRST:LAST] selects rows of one split, but the splits are "
            f"{', '.join(splits)}; choose one"
        )


def hub_dataset(source: str) -> HubDataset | None:
    """The dataset that a corpus's name means; None for any other URL or path.

    Files in a repository (``hf://datasets/USER/NAME/FOLDER``) are a folder at a URL, not a dataset.
    Raises DataError for an invalid name of a dataset.
    """
    start = PREFIX.match(source)
    if start is None:
        return None
    rest = source[start.end() :]
    if "@" not in rest and len(rest.partition(":")[0].split("#")[0].strip("/").split("/")) > 2:
        return None
    match = NAME.fullmatch(rest.rstrip("/"))
    if match is None:
        raise DataError(
            f"{' '.join(source.split())}: is not the name of a dataset of the Hub: {GRAMMAR}"
        )
    first, last = match["first"], match["last"]
    rows = None if first is None else (int(first or 0), int(last) if last else None)
    if rows is not None and rows[1] is not None and rows[0] >= rows[1]:
        raise DataError(
            f"{source}: selects no rows; [FIRST:LAST] counts from 0, and LAST is not included"
        )
    return HubDataset(
        match["repository"], match["revision"] or "", match["config"] or "", match["split"] or "",
        rows, _choice(match["columns"] or "", source),
    )  # fmt: skip


def dataset_hint(missing: str) -> str:
    """A hint to append to a message about a missing path that may be a dataset's name."""
    if NAME.fullmatch(missing) is None or Path(missing).parent.exists():
        return ""
    return f"; for a dataset of the Hugging Face Hub write hf://{missing}"


def _choice(text: str, source: str) -> ColumnChoice:
    pairs = [pair.partition("=") for pair in text.split("&")] if text else []
    for name, _, column in pairs:
        if name not in COLUMNS or not column:
            raise DataError(
                f"{source}: {name!r} does not choose a column; allowed after #: speaker=COLUMN, "
                "audio=COLUMN, or both joined by &"
            )
    return replace(BY_THEIR_NAMES, **{name: column for name, _, column in pairs})
