"""Reuse the vectors in saved shards when shards have to be made again.

A recording that was added or replaced, or a renamed speaker, changes a shard, and may move all
later recordings to other shards; moving the corpus changes all of them. The recordings' vectors are
still valid, and are found by path or by content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from typing import Any

from timbral.bulk.shards import DAMAGED, HASHING_THREADS, EmbeddedRow, Shard, parse_shard
from timbral.data.file_state import FileState, content_name, file_stamp
from timbral.data.manifest import Utterance
from timbral.embeddings.table import vectors_of
from timbral.errors import DataError
from timbral.io.json_parsing import parse_json
from timbral.io.storage import Folder

__all__ = ["KnownRows", "with_known_rows"]

HASHED_FILES = "hashed_files.json"
"""path, size, time and SHA-256 of recordings in all places where they were found"""
MEASURED = ("duration_seconds", "speech_seconds", "risks", "bandwidth_hz", "snr_db")
_Content = tuple[int, str, str]
"""size in bytes and SHA-256 of a recording's file, and its `content_name`"""
_Saved = tuple[FileState, EmbeddedRow]
"""the state of a recording's file when it was embedded, and the result"""


class KnownRows:
    """The rows in the files of shards, which are found by path, else by content.

    Recordings whose files have changed are not found. URLs are found by path only, because their
    content is unknown.
    """

    def __init__(self) -> None:
        self._by_path: dict[str, _Saved] = {}
        self._by_content: dict[_Content, EmbeddedRow] = {}
        self._contents: dict[str, _Content | None] = {}
        """by utterance; None if unknown"""
        self._sizes: set[int] = set()
        self._states: dict[str, FileState] = {}
        """states of files that were hashed here or before, by path, so that none is read twice"""
        self._read: set[str] = set()
        self._unreadable: set[str] = set()

    def add(self, folder: Folder, name: str) -> None:
        """Add the rows of a shard's file, if it exists and is not damaged."""
        location = f"{folder.location}/{name}"
        content = None if location in self._read else folder.read(name)
        self._read.add(location)
        rows = [] if content is None else _saved_rows(content, location)
        if rows is None:
            self._unreadable.add(location)
        for utterance, path, state, row in rows or ():
            self._by_path[path] = state, row
            self._contents[utterance] = None
            if state.sha256:
                key = _content(path, state)
                self._contents[utterance] = key
                self._by_content[key] = row
                self._sizes.add(state.size)

    def add_all(self, folder: Folder) -> None:
        """Add the rows of all shards in a folder, and the files that were hashed for it before."""
        self._states |= _hashed_files(folder)
        for name in folder.names():
            if name.endswith(".arrow"):
                self.add(folder, name)

    def keep_hashes(self, folder: Folder) -> None:
        """Store the hashes of all files that are known here and unchanged, in their places.

        Two copies of a corpus that take turns with one folder are then hashed once.
        """
        states = {path: state for path, (state, _) in self._by_path.items()} | self._states
        rows = [
            [path, *astuple(state)]
            for path, state in states.items()
            if state.sha256 and state.stamp == file_stamp(path)
        ]
        folder.write(HASHED_FILES, json.dumps(rows, ensure_ascii=False).encode())

    def holds_any_of(self, utterances: Iterable[Utterance]) -> bool:
        """Whether the vector of any of the recordings is known."""
        return any(self._find(row.path) is not None for row in utterances)

    def are_all_among(self, utterances: Iterable[Utterance]) -> bool:
        """Whether all recordings with vectors are among `utterances`, with equal ids and content.

        False if a shard's file could not be read, because another version may have written it.
        """
        if self._unreadable:
            return False
        paths = {row.utterance: row.path for row in utterances}
        pairs = [(paths.get(name), content) for name, content in self._contents.items()]
        if not all(
            path and content and file_stamp(path)[0] == content[0] for path, content in pairs
        ):
            return False
        return all(path and self._content_now(path) == content for path, content in pairs)

    def with_known(self, shard: Shard) -> Shard:
        """The shard with all known vectors of its recordings."""
        if not self._by_path:
            return shard
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            found = list(pool.map(self._find, [row.path for row in shard.utterances]))
        saved = {row: each for row, each in enumerate(found) if each is not None}
        return replace(
            shard,
            known={row: embedded for row, (_, embedded) in saved.items()},
            states={row: state for row, (state, _) in saved.items()},
        )

    def _find(self, path: str) -> _Saved | None:
        """The current state of a recording's file, and its saved row; None if it has none."""
        stamp = file_stamp(path)
        saved = self._by_path.get(path)
        if saved is not None and saved[0].stamp == stamp:
            return saved
        if stamp[0] not in self._sizes:
            return None
        state = self._state(path, stamp)
        if saved is not None and saved[0].sha256 == state.sha256:
            return state, saved[1]
        row = self._by_content.get(_content(path, state))
        return None if row is None else (state, row)

    def _content_now(self, path: str) -> _Content:
        return _content(path, self._state(path, file_stamp(path)))

    def _state(self, path: str, stamp: tuple[int, int]) -> FileState:
        state = self._states.get(path)
        if state is None or state.stamp != stamp:
            state = self._states[path] = FileState.of(path, stamp)
        return state


def with_known_rows(
    shards: Sequence[Shard], folder: Folder, known: KnownRows | None = None
) -> list[Shard]:
    """Shards to make, with the vectors that are `known` or in the shards' present files."""
    known = known or KnownRows()
    for shard in shards:
        known.add(folder, shard.file_name)
    return [known.with_known(shard) for shard in shards]


def _hashed_files(folder: Folder) -> dict[str, FileState]:
    """The hashes stored in a folder; none if they cannot be read, as files can be hashed again."""
    try:
        rows = parse_json(folder.read(HASHED_FILES) or b"[]")
        return {str(path): FileState(int(size), int(ns), str(sha)) for path, size, ns, sha in rows}
    except (ValueError, TypeError):
        return {}


def _content(path: str, state: FileState) -> _Content:
    return state.size, state.sha256, content_name(path)


def _saved_rows(content: bytes, path: str) -> list[tuple[str, str, FileState, EmbeddedRow]] | None:
    """Utterance, path, file state and row for each row of a shard's file; None if it is damaged."""
    try:
        table = parse_shard(content, path)
        metadata: dict[bytes, bytes] = table.schema.metadata
        failed = set(parse_json(metadata[b"failed_rows"]))
        states: list[Any] = parse_json(metadata[b"recordings"])["files"]
        kept = [FileState(*state) for row, state in enumerate(states) if row not in failed]
        if not kept:
            return []
        names = [table[name].to_pylist() for name in ("utterance", "path")]
        numbers = [table[name].to_pylist() for name in MEASURED]
        rows = [EmbeddedRow(*row) for row in zip(vectors_of(table), *numbers, strict=True)]
        return list(zip(*names, kept, rows, strict=True))
    except (*DAMAGED, DataError):
        return None
