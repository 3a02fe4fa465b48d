"""The utterances that an encoder was trained on, stored in its run folder.

An evaluation on training speakers does not apply to new ones. RUN/trained_on.parquet has a row for
each utterance (speaker, utterance, path), also of the run that the initial weights are from;
held-out speakers are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from timbral.audio.segments import Segment
from timbral.errors import DataError, first_line
from timbral.io.files import atomic_write
from timbral.io.outputs import TRAINING_LIST
from timbral.io.types import Ints

__all__ = ["TRAINING_LIST", "Seen", "TrainingList", "write_training_list"]

COLUMNS = ("speaker", "utterance", "path")


@dataclass(frozen=True)
class Seen:
    """The part of an evaluation that the encoder was trained on."""

    speakers: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.speakers or self.recordings)

    def __str__(self) -> str:
        counts = ((self.speakers, "speaker"), (self.recordings, "recording"))
        return " and ".join(
            f"{len(names):,} {word}{'' if len(names) == 1 else 's'} (the first: {names[0]})"
            for names, word in counts
            if names
        )


@dataclass(frozen=True)
class TrainingList:
    """The utterances that a run trained on: a table with `COLUMNS`."""

    table: pa.Table

    @classmethod
    def read(cls, path: Path) -> TrainingList:
        """Read a run's list; DataError for another file."""
        try:
            table = pa.parquet.read_table(path, columns=list(COLUMNS))
            table = pa.table([column.cast(pa.string()) for column in table.columns], list(COLUMNS))
            table.validate(full=True)
        except (OSError, pa.ArrowException, KeyError) as error:
            reason = first_line(error)
            raise DataError(
                f"{path}: cannot be read as the list of what a run trained on ({reason})"
            ) from None
        return cls(table)

    def seen(self, locations: list[str], speakers: set[str]) -> Seen:
        """Which of these recordings (absolute paths, URLs) and speakers were in training.

        A recording in the folder of a speaker, ``…/SPEAKER/…``, from which training took recordings
        of that speaker, counts as that speaker.
        """
        files = {Segment.of(location).recording for location in locations}
        paths = self.table["path"].unique().to_pylist()
        recordings = files & {Segment.of(path).recording for path in paths}
        known = set(self.table["speaker"].unique().to_pylist())
        folders = self._speaker_folders()
        of_folders = {
            folders[folder]
            for parent in {PurePosixPath(file).parent for file in files}
            for folder in map(str, [parent, *parent.parents])
            if folder in folders
        }
        return Seen(tuple(sorted((speakers & known) | of_folders)), tuple(sorted(recordings)))

    def _speaker_folders(self) -> dict[str, str]:
        """Folders that have a speaker's name and contain recordings of that speaker."""
        folders = pc.replace_substring_regex(self.table["path"], r"/[^/]*$", "")
        pairs = pa.table([self.table["speaker"], folders], ["speaker", "folder"])
        by_folder: dict[str, str] = {}
        for row in pairs.group_by(["speaker", "folder"]).aggregate([]).to_pylist():
            parts = PurePosixPath(row["folder"]).parts
            if row["speaker"] in parts:
                end = len(parts) - parts[::-1].index(row["speaker"])
                by_folder[str(PurePosixPath(*parts[:end]))] = row["speaker"]
        return by_folder


def write_training_list(folder: Path, table: pa.Table, rows: Ints, earlier: list[Path]) -> None:
    """Write a run's list.

    Args:
        folder: the run folder
        table: the table of its data, with `COLUMNS`
        rows: the rows of the table that it trains on
        earlier: lists of the runs that its initial weights are from
    """
    own = table.select(list(COLUMNS)).take(pa.array(rows))
    parts = [pa.table([column.cast(pa.string()) for column in own.columns], list(COLUMNS))]
    parts += [TrainingList.read(path).table for path in earlier]
    merged = pa.concat_tables(parts).group_by(list(COLUMNS)).aggregate([])
    order = pc.sort_indices(merged, sort_keys=[(name, "ascending") for name in COLUMNS])
    with atomic_write(folder / TRAINING_LIST) as temporary:
        pa.parquet.write_table(
            merged.select(list(COLUMNS)).take(order), temporary, compression="zstd"
        )
