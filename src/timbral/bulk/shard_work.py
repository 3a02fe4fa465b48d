"""Embed the missing shards of a job, and read all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
        for result in engine.run(embedder, begun, folder, work.add_batch):
            work.add_shard(result)
    return work


@dataclass
class WorkDone:
    """What is done: finished shards, and batches of the shards in progress."""

    progress: EmbedProgress
    total: int
    done: int = 0
    """utterances of finished shards"""
    seconds: float = 0.0
    """duration of the audio that this run embedded"""
    failures: int = 0
    begun: dict[str, tuple[int, float, int]] = field(default_factory=dict)
    """utterances, seconds and failures of the shards in progress"""

    def add_batch(self, shard: str, utterances: int, seconds: float, failures: int) -> None:
        before = self.begun.get(shard, (0, 0.0, 0))
        self.begun[shard] = (
            before[0] + utterances, before[1] + seconds, before[2] + failures
        )  # fmt: skip
        self.show()

    def add_shard(self, result: ShardResult) -> None:
        self.begun.pop(result.file_name, None)
        self.done += result.num_utterances + result.num_failures
        self.seconds += result.audio_seconds
        self.failures += result.num_failures
        self.show()

    def show(self) -> None:
        done, seconds, failures = self.done, self.seconds, self.failures
        for begun in self.begun.values():
            done, seconds, failures = done + begun[0], seconds + begun[1], failures + begun[2]
        self.progress(done, self.total, seconds, failures)


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
