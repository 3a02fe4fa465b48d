"""Embed the missing shards of a job, and read all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from timbral.bulk.engines import Engine
from timbral.bulk.known_rows import KnownRows, with_known_rows
from timbral.bulk.shards import Shard, ShardResult, read_shard
from timbral.data.manifest import Manifest, Utterance
from timbral.inference.embedder import Embedder
from timbral.io.storage import Folder

__all__ = ["EmbedProgress", "WorkDone", "embed_missing", "read_shards", "write_failures"]

EmbedProgress = Callable[[int, int, float, int], None]
"""called with the number of utterances done and in all, the seconds of audio embedded by this run,
and the number of failures"""


def embed_missing(
    embedder: Embedder,
    shards: Sequence[Shard],
    folder: Folder,
    engine: Engine,
    progress: EmbedProgress,
    known: KnownRows | None = None,
) -> WorkDone:
    """Embed the missing shards, except for known rows."""
    missing = []
    work = WorkDone(progress, sum(len(shard.utterances) for shard in shards))
    for shard in shards:
        failures = shard.saved_failures(folder)
        if failures is None:
            missing.append(shard)
        else:
            work.done += len(shard.utterances)
            work.failures += len(failures)
    work.show()
    if missing:
        begun = with_known_rows(missing, folder, known)
        for result in engine.run(embedder, begun, folder, work.add_group):
            work.add_shard(result)
    return work


@dataclass
class WorkDone:
    """The progress of a job: finished shards, and groups of recordings of the current shard."""

    progress: EmbedProgress
    total: int
    done: int = 0
    """utterances in finished shards"""
    seconds: float = 0.0
    """audio embedded by this run"""
    failures: int = 0
    group_done: int = 0
    """utterances done in the current shard; likewise the next two"""
    group_seconds: float = 0.0
    group_failures: int = 0

    def add_group(self, utterances: int, seconds: float, failures: int) -> None:
        self.group_done += utterances
        self.group_seconds += seconds
        self.group_failures += failures
        self.show()

    def add_shard(self, result: ShardResult) -> None:
        self.done += result.num_utterances + result.num_failures
        self.seconds += result.audio_seconds
        self.failures += result.num_failures
        self.group_done, self.group_seconds, self.group_failures = 0, 0.0, 0
        self.show()

    def show(self) -> None:
        done, seconds = self.done + self.group_done, self.seconds + self.group_seconds
        self.progress(done, self.total, seconds, self.failures + self.group_failures)


def read_shards(
    shards: Sequence[Shard], folder: Folder, utterances: Sequence[Utterance]
) -> tuple[pa.Table, list[dict[str, str]]]:
    """All shards as one table, in the order of the utterances, and all failures, beginning with
    those of the manifest itself.
    """
    listed = utterances.failures if isinstance(utterances, Manifest) else ()
    failures = [failure.as_dict() for failure in listed]
    tables = []
    for shard in shards:
        table, failed = read_shard(folder, shard)
        tables.append(table)
        failures += failed
    return pa.concat_tables(tables), failures


def write_failures(failures: Sequence[dict[str, str]], output: str | Path) -> None:
    """Write failures.jsonl."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in failures)
    Folder(output).write("failures.jsonl", "".join(lines).encode())
