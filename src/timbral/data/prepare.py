"""From recordings to a store: decode, resample, level, trim, write; resumable.

The plan (which utterance goes into which shard) follows from the sorted list of utterances
alone. A shard is done when its index file is there; a killed run goes on with the others, and
the files equal those of an unbroken run.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from timbral.audio import SAMPLE_RATE, Preprocessing, decode, to_int16
from timbral.data.manifest import Utterance, file_size
from timbral.data.store import STORE_SCHEMA, shard_path, write_shard
from timbral.errors import AudioError, DataError
from timbral.files import folder_lock, read_json, write_json, write_jsonl, written_whole
from timbral.workers import end_with_parent

__all__ = ["PrepareReport", "prepare"]

SHARD_UTTERANCES = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareReport:
    """What a preparation ended with."""

    utterances: int
    speakers: int
    hours: float
    failures: int
    reused: bool
    """the folder held it already, complete"""


@dataclass(frozen=True)
class _Shard:
    number: int
    folder: Path
    utterances: list[Utterance]
    preprocessing: Preprocessing
    plan: str
    """hash of the job; an index of another job does not count"""

    @property
    def index(self) -> Path:
        return self.folder / "shards" / f"{self.number:05d}.index.json"

    def is_done(self) -> bool:
        return self.index.exists() and read_json(self.index)["plan"] == self.plan


def prepare(
    utterances: Sequence[Utterance],
    folder: Path,
    preprocessing: Preprocessing,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PrepareReport:
    """Write a store of `utterances` (sorted, as scans give them) into `folder`.

    Calls `progress(done, total)` in utterances. Recordings that cannot be used go to
    failures.jsonl and end nothing. Raises DataError when the folder holds other data, when
    another process writes there, or when no recording could be used.
    """
    preprocessing.check_installed()
    with folder_lock(folder):
        plan = _claim(folder, utterances, preprocessing)
        finished = (folder / "utterances.parquet").exists()
        if not finished:
            shards = [
                _Shard(
                    number,
                    folder,
                    list(utterances[start : start + SHARD_UTTERANCES]),
                    preprocessing,
                    plan,
                )
                for number, start in enumerate(range(0, len(utterances), SHARD_UTTERANCES))
            ]
            _run(shards, workers, progress or (lambda done, total: None))
            _finish(folder, shards, preprocessing)
        about = read_json(folder / "store.json")
        return PrepareReport(**about["totals"], reused=finished)


def _claim(folder: Path, utterances: Sequence[Utterance], preprocessing: Preprocessing) -> str:
    """Tie the folder to this job; returns the job's hash."""
    digest = hashlib.sha256()
    for row in utterances:
        digest.update(json.dumps([*asdict(row).values(), file_size(row.path)]).encode())
    plan = {"inputs_sha256": digest.hexdigest(), "preprocessing": preprocessing.as_dict()}
    plan_path = folder / "plan.json"
    if plan_path.exists():
        if read_json(plan_path) != plan:
            raise DataError(
                f"{folder}: holds data prepared from other recordings or with other settings; "
                "choose another --output-dir, or delete this folder first"
            )
    else:
        others = [item.name for item in folder.iterdir() if not item.name.startswith(".")]
        if others:
            raise DataError(
                f"{folder}: is not empty (it has {others[0]!r}) and holds no prepared data; "
                "choose a new folder"
            )
        write_json(plan_path, plan)
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


def _run(shards: list[_Shard], workers: int, progress: Progress) -> None:
    total = sum(len(shard.utterances) for shard in shards)
    waiting = [shard for shard in shards if not shard.is_done()]
    done = total - sum(len(shard.utterances) for shard in waiting)
    progress(done, total)
    for count in _each(waiting, min(workers, len(waiting))):
        done += count
        progress(done, total)


def _each(shards: list[_Shard], workers: int) -> Iterator[int]:
    if workers <= 1:
        yield from map(_prepare_shard, shards)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=end_with_parent, initargs=(os.getpid(),)
    ) as pool:
        futures = [pool.submit(_prepare_shard, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise DataError(
                "a worker process died (out of memory?); what is done is kept: start again, "
                "perhaps with fewer --workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_shard(shard: _Shard) -> int:
    """Write one shard, then its index: rows and failures. Returns how many were tried."""
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []

    def waves() -> Iterator[tuple[str, NDArray[np.int16]]]:
        for item in shard.utterances:
            try:
                wave, source_rate = decode(item.path)
                wave = shard.preprocessing(wave, source_rate, SAMPLE_RATE, item.path)
            except AudioError as error:
                failures.append({**asdict(item), "reason": str(error)})
                continue
            seconds = round(wave.size / SAMPLE_RATE, 6)
            about = {"duration_seconds": seconds, "sample_rate": source_rate, "samples": wave.size}
            rows.append({**asdict(item), **about, "shard": shard.number})
            yield item.utterance, to_int16(wave)

    starts = write_shard(shard_path(shard.folder, shard.number), waves())
    for row, start in zip(rows, starts, strict=True):
        row["start"] = start
    write_json(shard.index, {"plan": shard.plan, "rows": rows, "failures": failures})
    return len(shard.utterances)


def _finish(folder: Path, shards: list[_Shard], preprocessing: Preprocessing) -> None:
    parts = [read_json(shard.index) for shard in shards]
    failures = [failure for part in parts for failure in part["failures"]]
    tables = [pa.Table.from_pylist(part["rows"], STORE_SCHEMA) for part in parts]
    table = pa.concat_tables(tables)
    write_jsonl(folder / "failures.jsonl", failures)
    if table.num_rows == 0:
        raise DataError(
            f"none of the {len(failures)} recordings could be used; the first: "
            f"{failures[0]['reason']}; all of them: {folder / 'failures.jsonl'}"
        )
    totals = {
        "utterances": table.num_rows,
        "speakers": len(table["speaker"].unique()),
        "hours": sum(table["duration_seconds"].to_pylist()) / 3600,
        "failures": len(failures),
    }
    about = {
        "format": 1,
        "sample_rate": SAMPLE_RATE,
        "preprocessing": preprocessing.as_dict(),
        "totals": totals,
    }
    write_json(folder / "store.json", about)
    with written_whole(folder / "utterances.parquet") as temporary:
        pa.parquet.write_table(table, temporary)
