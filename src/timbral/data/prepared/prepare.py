"""From recordings to prepared data: decode, resample, level, trim, write; resumable.

The plan (which utterance goes into which shard) follows from the sorted list of utterances
alone. A shard is done when its index, FOLDER/.prepare/NNNNN.json, is there; a killed run goes on
with the others, and the files equal those of an unbroken run.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from timbral.audio.decode import SAMPLE_RATE, decode
from timbral.audio.ffmpeg import FFMPEG_SUFFIXES, check_ffmpeg
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.segments import Segment
from timbral.data.manifest import Utterance, file_size
from timbral.data.prepared.finish import finish
from timbral.data.prepared.formats import FORMATS, Item
from timbral.data.sources import default_trim, find_utterances
from timbral.errors import AudioError, ConfigError, DataError, did_you_mean
from timbral.io.files import folder_lock, read_json, write_json
from timbral.io.processes import end_with_parent
from timbral.io.types import Progress

__all__ = ["PrepareReport", "prepare"]

SHARD_UTTERANCES = 256


@dataclass(frozen=True)
class PrepareReport:
    """What a preparation ended with."""

    utterances: int
    speakers: int
    hours: float
    failures: int
    too_short: int
    """of the failures: recordings that precomputed mels does not take"""
    reused: bool
    """the folder held it already, complete"""


@dataclass(frozen=True)
class _Shard:
    number: int
    folder: Path
    utterances: list[Utterance]
    preprocessing: Preprocessing
    format: str
    plan: str
    """hash of the job; an index of another job does not count"""

    @property
    def index(self) -> Path:
        return self.folder / ".prepare" / f"{self.number:05d}.json"

    def is_done(self) -> bool:
        return self.index.exists() and read_json(self.index)["plan"] == self.plan


def prepare(
    source: str | Path | Sequence[Utterance],
    output: str | Path,
    preprocessing: Preprocessing | None = None,
    *,
    layout: str = "folder",
    format: str = "arrow",
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> PrepareReport:
    """Turn recordings into data that training reads without waiting; a killed run is resumed.

    source: a corpus, a table or a URL, as `find_utterances` takes them; or utterances, sorted by
        speaker (`scan_datasets` gives those of several corpora).
    output: the folder to write, empty or with an earlier run of the same preparation.
    preprocessing: what is done to every recording; None: the default with the corpora's usual
        trim (`default_trim`).
    layout: how the folder of a corpus is laid out, a name of `CORPORA`.
    format: arrow (memory-mapped 16 kHz PCM), npy (PaddleSpeech's precomputed mels) or flac.
    workers: processes; with more than one a script needs ``if __name__ == "__main__":``.
    progress: called with the utterances done and their number.

    Recordings that cannot be used are listed in OUTPUT/failures.jsonl and counted. Raises
    DataError when the source cannot be read, when the output holds other data or another process
    writes there, or when no recording could be used.
    """
    if format not in FORMATS:
        raise DataError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, got {workers}")
    folder = Path(output)
    utterances = find_utterances(source, layout) if isinstance(source, str | Path) else source
    if preprocessing is None:
        preprocessing = Preprocessing(default_trim(utterances))
    preprocessing.check_installed()
    with folder_lock(folder):
        plan = _claim(folder, utterances, preprocessing, format)
        finished = (folder / "utterances.parquet").exists()
        if not finished:
            count = -(-len(utterances) // SHARD_UTTERANCES)

            def shard(number: int) -> _Shard:
                start = number * SHARD_UTTERANCES
                own = list(utterances[start : start + SHARD_UTTERANCES])
                return _Shard(number, folder, own, preprocessing, format, plan)

            _run(map(shard, range(count)), len(utterances), workers, progress)
            finish(folder, utterances, count, preprocessing, format)
        shutil.rmtree(folder / ".prepare", ignore_errors=True)
        about = read_json(folder / "store.json")
        return PrepareReport(**about["totals"], reused=finished)


def _claim(
    folder: Path, utterances: Sequence[Utterance], preprocessing: Preprocessing, format: str
) -> str:
    """Tie the folder to this job; returns the job's hash."""
    digest = hashlib.sha256()
    names = FORMATS[format].name
    taken: set[int] = set()
    for row in utterances:
        if Segment.of(row.path).file.lower().endswith(FFMPEG_SUFFIXES):
            check_ffmpeg()
        digest.update(json.dumps([*asdict(row).values(), file_size(row.path)]).encode())
        if names is not None:
            taken.add(hash(names(row)))
    if names is not None and len(taken) < len(utterances):
        raise DataError(
            f"two utterances of one speaker would have one file name in the format {format}, "
            "which puts _ for /; the format arrow takes any names"
        )
    plan = {
        "inputs_sha256": digest.hexdigest(),
        "preprocessing": preprocessing.as_dict(),
        "format": format,
    }
    plan_path = folder / "plan.json"
    if plan_path.exists():
        if read_json(plan_path) != plan:
            raise DataError(
                f"{folder}: holds data prepared from other recordings or with other settings; "
                "choose another `output`, or delete this folder first"
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


def _run(shards: Iterator[_Shard], total: int, workers: int, progress: Progress) -> None:
    done = 0
    for count in map(_prepare_shard, shards) if workers <= 1 else _in_processes(shards, workers):
        done += count
        progress(done, total)


def _in_processes(shards: Iterator[_Shard], workers: int) -> Iterator[int]:
    """Shards by worker processes; few wait at a time, so that a long list costs no memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start) as pool:
        waiting: set[Future[int]] = set()
        try:
            while True:
                for shard in islice(shards, 2 * workers - len(waiting)):
                    waiting.add(pool.submit(_prepare_shard, shard))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise DataError(
                "a worker process died (out of memory?); what is done is kept: start again, "
                "perhaps with fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # a process a core, not a thread a core in each
    end_with_parent()


def _prepare_shard(shard: _Shard) -> int:
    """Write one shard, then its index: rows and failures. Returns its number of utterances."""
    if shard.is_done():
        return len(shard.utterances)
    format = FORMATS[shard.format]
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []

    def items() -> Iterator[Item]:
        for item in shard.utterances:
            try:
                wave, source_rate = decode(item.path)
                wave = shard.preprocessing(wave, source_rate, SAMPLE_RATE, item.path)
                content = format.convert(wave, item.path)
            except AudioError as error:
                failures.append(error.as_dict() | asdict(item))
                continue
            seconds = round(wave.size / SAMPLE_RATE, 6)
            about = {"duration_seconds": seconds, "sample_rate": source_rate}
            rows.append({**asdict(item), **about})
            yield item, content

    places = format.write(shard.folder, shard.number, items())
    for row, place in zip(rows, places, strict=True):
        row.update(place)
    write_json(shard.index, {"plan": shard.plan, "rows": rows, "failures": failures})
    return len(shard.utterances)
