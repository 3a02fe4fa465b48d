"""The end of a preparation: the table, the failures, the totals. Memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from timbral.audio.decode import SAMPLE_RATE
from timbral.audio.preprocessing import Preprocessing
from timbral.data.manifest import Utterance
from timbral.data.prepared.formats import FORMATS, mel_name
from timbral.errors import DataError
from timbral.io.files import atomic_write, read_json, write_json, write_jsonl

__all__ = ["finish"]

ROW_GROUP = 65_536


def finish(
    folder: Path,
    utterances: Sequence[Utterance],
    shards: int,
    preprocessing: Preprocessing,
    format: str,
) -> None:
    """Gather what the shards' indexes say; `utterances.parquet` comes last and means complete."""
    indexes = [folder / ".prepare" / f"{number:05d}.json" for number in range(shards)]
    totals: dict[str, Any] = {"failures": 0, "too_short": 0, "hours": 0.0}
    write_jsonl(folder / "failures.jsonl", _failures(indexes, totals))
    if totals["failures"] == len(utterances):
        first = next(_failures(indexes, dict(totals)))
        raise DataError(
            f"none of the {len(utterances)} recordings could be used; the first: "
            f"{first['path']}: {first['reason']}; all of them: {folder / 'failures.jsonl'}"
        )
    speakers: set[str] = set()
    with atomic_write(folder / "utterances.parquet") as temporary:
        with pa.parquet.ParquetWriter(temporary, FORMATS[format].table) as writer:
            for table in _row_groups(indexes, FORMATS[format].table):
                writer.write_table(table, row_group_size=ROW_GROUP)
                speakers.update(table["speaker"].unique().to_pylist())
                totals["hours"] += sum(table["duration_seconds"].to_pylist()) / 3600
        if format == "npy":
            _write_sources(folder, utterances, speakers)
        totals["utterances"] = len(utterances) - totals["failures"]
        totals["speakers"] = len(speakers)
        about = {
            "format": format,
            "sample_rate": SAMPLE_RATE,
            "preprocessing": preprocessing.as_dict(),
            "totals": totals,
        }
        write_json(folder / "store.json", about)


def _failures(indexes: Sequence[Path], totals: dict[str, Any]) -> Iterator[Any]:
    """Each failure, counted."""
    for index in indexes:
        for failure in read_json(index)["failures"]:
            totals["failures"] += 1
            totals["too_short"] += failure["kind"] == "too-short"
            yield failure


def _row_groups(indexes: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    tables: list[pa.Table] = []
    for index in indexes:
        tables.append(pa.Table.from_pylist(read_json(index)["rows"], schema))
        if sum(table.num_rows for table in tables) >= ROW_GROUP:
            yield pa.concat_tables(tables).combine_chunks()
            tables = []
    if tables:
        yield pa.concat_tables(tables).combine_chunks()


def _write_sources(folder: Path, utterances: Iterable[Utterance], kept: set[str]) -> None:
    """PaddleSpeech's ``_sources.txt``: each mel and its recording, also those left out."""
    for speaker, rows in groupby(utterances, key=lambda row: row.speaker):
        if speaker in kept:  # PaddleSpeech's training fails at a speaker's folder without mels
            lines = [f"{mel_name(row).rpartition('/')[2]},{row.path}\n" for row in rows]
            sources = folder / speaker / "_sources.txt"
            with atomic_write(sources, sync=False) as temporary:  # as the mels beside it
                temporary.write_text("".join(lines), "utf-8")
