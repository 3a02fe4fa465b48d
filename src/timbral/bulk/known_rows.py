"""Vectors of recordings that are saved in a shard which has to be made again: they are reused.

A recording that was added or replaced, or a speaker with a new name, changes a shard, and may move
every recording behind it into another one. Their vectors are still those of the same recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from timbral.bulk.shards import DAMAGED, EmbeddedRow, Shard, parse_shard
from timbral.data.file_state import FileState, file_stamp
from timbral.embeddings.table import vectors_of
from timbral.errors import DataError
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder

__all__ = ["with_known_rows"]

MEASURED = ("duration_seconds", "speech_seconds", "risks", "bandwidth_hz", "snr_db")
SavedRow = tuple[FileState, EmbeddedRow]
"""of a recording: what its file was, and what was made of it"""


def with_known_rows(shards: Sequence[Shard], folder: Folder) -> list[Shard]:
    """Shards that have to be made, each with the vectors that a file in their place still holds.

    A recording whose file has changed since is not known.
    """
    saved: dict[str, SavedRow] = {}
    for shard in shards:
        content = folder.read(shard.file_name)
        if content is not None:
            saved.update(_saved_rows(content, f"{folder.location}/{shard.file_name}"))
    return [_with_known(shard, saved) for shard in shards]


def _with_known(shard: Shard, saved: dict[str, SavedRow]) -> Shard:
    known, stamps = {}, {}
    for row, utterance in enumerate(shard.utterances) if saved else ():
        found = saved.get(utterance.path)
        stamp = file_stamp(utterance.path)
        if found is not None and found[0].is_of(utterance.path):
            known[row], stamps[row] = found[1], stamp
    return replace(shard, known=known, stamps=stamps)


def _saved_rows(content: bytes, path: str) -> dict[str, SavedRow]:
    """By recording, what a shard's file holds; nothing where it is damaged or of an older kind."""
    try:
        table = parse_shard(content, path)
        metadata: dict[bytes, bytes] = table.schema.metadata
        failed = set(parse_json(metadata[b"failed_rows"]))
        states: list[Any] = parse_json(metadata[b"recordings"])["files"]
        kept = [FileState(*state) for row, state in enumerate(states) if row not in failed]
        if not kept:
            return {}
        names = table["path"].to_pylist()
        numbers = [table[name].to_pylist() for name in MEASURED]
        rows = [EmbeddedRow(*row) for row in zip(vectors_of(table), *numbers, strict=True)]
        return {name: (state, row) for name, state, row in zip(names, kept, rows, strict=True)}
    except (*DAMAGED, DataError):
        return {}
