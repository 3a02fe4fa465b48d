"""From recordings to prepared data: decode, resample, raise the level, trim, write; resumable.

The plan (which utterance goes into which shard) follows from the sorted list of utterances
alone. A shard is done when its index, OUTPUT/.prepare/NNNNN.json, is there; a killed run is
resumed with the others, and its files equal those of an uninterrupted run. At the end the indexes
become the table, the failures and the totals; memory does not grow with them.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from timbral.audio.decode import SAMPLE_RATE, decode, failures_of
from timbral.audio.ffmpeg import FFMPEG_SUFFIXES, check_ffmpeg
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.segments import Segment
from timbral.data.corpora.recognition import AUTO
from timbral.data.file_state import file_size, written_ns
from timbral.data.manifest import Manifest, Utterance, sorted_manifest
from timbral.data.prepared.changes import check_unchanged, write_times
from timbral.data.prepared.completeness import FAILURES, UTTERANCES, has_files, is_complete
from timbral.data.prepared.default_trim import default_trim
from timbral.data.prepared.formats import FORMATS, SOURCES, PreparedItem, mel_name
from timbral.data.prepared.further import ROWS_AT_ONCE, prepared_writer, update_further
from timbral.data.prepared.table_columns import read_columns
from timbral.data.prepared.totals import Totals
from timbral.data.sources import find_utterances
from timbral.errors import AudioError, ConfigError, DataError, check_choice, none_usable
from timbral.io.file_names import check_file_names
from timbral.io.files import atomic_write, read_json, write_json, write_jsonl
from timbral.io.locks import folder_lock
from timbral.io.memory import keep_freed_memory
from timbral.io.outputs import PREPARED, claim_folder
from timbral.io.processes import WORKER_DIED, end_with_parent, without_interrupts
from timbral.io.types import Progress

__all__ = ["PrepareSummary", "prepare"]

SHARD_UTTERANCES = 256


@dataclass(frozen=True)
class PrepareSummary:
    """The result of a preparation."""

    num_utterances: int
    num_speakers: int
    hours: float
    num_failures: int
    num_too_short: int
    """failures because recordings are too short for precomputed mels"""
    reused: bool
    """whether the folder already contained the complete data"""


@dataclass(frozen=True)
class _Shard:
    number: int
    folder: Path
    utterances: list[Utterance]
    preprocessing: Preprocessing
    format: str
    plan: str
    """hash of the job; indexes of other jobs are ignored"""

    @property
    def index(self) -> Path:
        return _index_path(self.folder, self.number)

    def is_done(self) -> bool:
        """Whether it was written by this job from the current recordings, and has its files."""
        if not self.index.exists():
            return False
        index = read_json(self.index)
        if index["plan"] != self.plan or index.get("times") != self.times():
            return False
        return has_files(self.folder, [row["file"] for row in index["rows"] if "file" in row])

    def times(self) -> list[int]:
        """When the recordings were written."""
        return [written_ns(row.path) for row in self.utterances]


def _index_path(folder: Path, shard: int) -> Path:
    return folder / ".prepare" / f"{shard:05d}.json"


def prepare(
    source: str | Path | Sequence[Utterance],
    output: str | Path,
    preprocessing: Preprocessing | None = None,
    *,
    layout: str = AUTO,
    format: str = "arrow",
    workers: int = 1,
    progress: Progress = lambda done, total: None,
) -> PrepareSummary:
    """Decode recordings once into data that training reads fast, or resume such a job.

    Args:
        source: a corpus folder or URL, or a table of utterances, as `find_utterances` takes them;
            or utterances (`scan_datasets` gives those of several corpora)
        output: the folder to write, empty or with an earlier run of the same job
        preprocessing: applied to every recording; None: the default, with the corpora's usual trim
            (`default_trim`)
        layout: layout of a corpus folder, as for `inspect`
        format: ``arrow`` (memory-mapped 16 kHz PCM), ``npy`` (PaddleSpeech's precomputed mels) or
            ``flac``
        workers: processes; with more than one a script needs ``if __name__ == "__main__":``
        progress: called with the number of utterances done, and in all

    Further columns of the utterances, such as gender, become columns of the table, also for
    finished data. Finished data that have lost files, or whose shards are truncated, are prepared
    again. Unusable recordings are listed in OUTPUT/failures.jsonl and counted.

    Raises DataError if the source cannot be read, the output holds other data, another process is
    writing there, or no recording could be used.
    """
    check_choice("format", format, FORMATS)
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, got {workers}")
    if isinstance(source, str | Path):
        utterances = find_utterances(source, layout)
    else:
        utterances = sorted_manifest(source, "the utterances to prepare")
    if preprocessing is None:
        preprocessing = Preprocessing(default_trim(utterances))
    preprocessing.check_installed()
    folder = Path(output)
    claim_folder(folder, PREPARED)
    with folder_lock(folder):
        rows = utterances.without_further()
        plan = _claim(folder, rows, preprocessing, format)
        finished = is_complete(folder, format)
        if finished:
            check_unchanged(folder, rows, preprocessing, format)
            update_further(folder / UTTERANCES, utterances)
            if format == "npy":
                _write_lost_sources(folder, utterances)
        else:
            (folder / UTTERANCES).unlink(missing_ok=True)  # of data that have lost files
            shards = _shards(folder, rows, preprocessing, format, plan)
            _prepare_shards(shards, len(utterances), workers, progress)
            _finish(folder, utterances, preprocessing, format)
        shutil.rmtree(folder / ".prepare", ignore_errors=True)
        totals = Totals.read(folder / "store.json")
        return PrepareSummary(
            num_utterances=totals.utterances,
            num_speakers=totals.speakers,
            hours=totals.hours,
            num_failures=totals.failures,
            num_too_short=totals.too_short,
            reused=finished,
        )


def _claim(folder: Path, utterances: Manifest, preprocessing: Preprocessing, format: str) -> str:
    """Claim the folder for this job; returns the job's hash."""
    digest = hashlib.sha256()
    for row in utterances:
        if Segment.of(row.path).file.lower().endswith(FFMPEG_SUFFIXES):
            check_ffmpeg()
        digest.update(json.dumps([*row.names().values(), file_size(row.path)]).encode())
    for failure in utterances.failures:
        digest.update(json.dumps(failure.as_dict()).encode())
    _check_file_names(utterances, format)
    plan = {
        "inputs_sha256": digest.hexdigest(),
        "preprocessing": preprocessing.as_dict(),
        "format": format,
    }
    plan_path = folder / "plan.json"
    if plan_path.exists():
        if read_json(plan_path) != plan:
            raise DataError(
                f"{folder}: contains data prepared from other recordings or with other settings; "
                "choose another `output`, or delete this folder first"
            )
    elif (folder / UTTERANCES).exists():
        raise DataError(
            f"{folder}: has lost its plan.json, so it is unknown which recordings its data are "
            "from; choose another `output`, or delete this folder first"
        )
    else:
        write_json(plan_path, plan)
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


def _check_file_names(utterances: Iterable[Utterance], format: str) -> None:
    """Raise DataError if an utterance gives no valid file name, or two of a speaker the same."""
    file_name = FORMATS[format].file_name
    if file_name is None:
        return
    for _, rows in groupby(utterances, key=lambda row: row.speaker):
        check_file_names(file_name(row) for row in rows)


def _shards(
    folder: Path,
    utterances: Sequence[Utterance],
    preprocessing: Preprocessing,
    format: str,
    plan: str,
) -> Iterator[_Shard]:
    for number in range(_num_shards(utterances)):
        start = number * SHARD_UTTERANCES
        rows = list(utterances[start : start + SHARD_UTTERANCES])
        yield _Shard(number, folder, rows, preprocessing, format, plan)


def _num_shards(utterances: Sequence[Utterance]) -> int:
    return -(-len(utterances) // SHARD_UTTERANCES)


def _prepare_shards(shards: Iterator[_Shard], total: int, workers: int, progress: Progress) -> None:
    counts = _in_processes(shards, workers) if workers > 1 else map(_prepare_shard, shards)
    done = 0
    for count in counts:
        done += count
        progress(done, total)


def _in_processes(shards: Iterator[_Shard], workers: int) -> Iterator[int]:
    """Prepare shards in worker processes, with two per worker queued, to save memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        pending: set[Future[int]] = set()
        try:
            while True:
                for shard in islice(shards, 2 * workers - len(pending)):
                    with without_interrupts():  # it may start a worker
                        pending.add(pool.submit(_prepare_shard, shard))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool:
            raise DataError(WORKER_DIED) from None
        except BaseException:  # do not wait for unfinished shards, which are prepared again
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # one process per core, each with one thread
    keep_freed_memory()
    end_with_parent()


def _prepare_shard(shard: _Shard) -> int:
    """Write one shard, then its index: rows and failures. Returns its number of utterances."""
    if shard.is_done():
        return len(shard.utterances)
    format, times = FORMATS[shard.format], shard.times()
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []

    def items() -> Iterator[PreparedItem]:
        for utterance in shard.utterances:
            try:
                with failures_of(utterance.path):
                    wave, source_rate = decode(utterance.path)
                    wave = shard.preprocessing(wave, source_rate, SAMPLE_RATE, utterance.path)
                    content = format.convert(wave, utterance.path)
            except AudioError as error:
                failures.append(utterance.names() | {"reason": error.reason, "kind": error.kind})
                continue
            seconds = round(wave.size / SAMPLE_RATE, 6)
            columns = {"duration_seconds": seconds, "sample_rate": source_rate}
            rows.append(utterance.names() | columns)
            yield utterance, content

    locations = format.write(shard.folder, shard.number, items())
    for row, location in zip(rows, locations, strict=True):
        row.update(location)
    index = {"plan": shard.plan, "times": times, "rows": rows, "failures": failures}
    write_json(shard.index, index, indent=None)
    return len(shard.utterances)


def _finish(folder: Path, utterances: Manifest, preprocessing: Preprocessing, format: str) -> None:
    """Combine the shards' indexes; `utterances.parquet` is written last and means complete."""
    indexes = [_index_path(folder, shard) for shard in range(_num_shards(utterances))]
    totals = Totals()
    listed = [failure.as_dict() for failure in utterances.failures]
    write_jsonl(folder / FAILURES, chain(listed, _failures(indexes, totals)))
    if totals.failures == len(utterances):
        first = next(_failures(indexes, Totals()))
        raise none_usable(len(utterances), first, str(folder / FAILURES))
    speakers: set[str] = set()
    schema = FORMATS[format].table
    with atomic_write(folder / UTTERANCES) as temporary:
        with prepared_writer(temporary, schema, utterances) as write:
            for table in _tables(indexes, schema):
                write(table)
                speakers.update(table["speaker"].unique().to_pylist())
                totals.hours += sum(table["duration_seconds"].to_pylist()) / 3600
        write_times(folder, utterances, [time for i in indexes for time in read_json(i)["times"]])
        if format == "npy":
            _write_sources(folder, utterances, speakers)
        totals.utterances = len(utterances) - totals.failures
        totals.failures += len(listed)
        totals.speakers = len(speakers)
        metadata = {
            "format": format,
            "sample_rate": SAMPLE_RATE,
            "preprocessing": preprocessing.as_dict(),
            "totals": asdict(totals),
        }
        write_json(folder / "store.json", metadata)


def _failures(indexes: Iterable[Path], totals: Totals) -> Iterator[dict[str, str]]:
    """The failures in the indexes; each is counted in `totals`."""
    for index in indexes:
        for failure in read_json(index)["failures"]:
            totals.failures += 1
            if failure["kind"] == "too-short":
                totals.too_short += 1
            yield failure


def _tables(indexes: Iterable[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of all indexes, in tables of `ROWS_AT_ONCE` rows or a little more."""
    tables: list[pa.Table] = []
    for index in indexes:
        tables.append(pa.Table.from_pylist(read_json(index)["rows"], schema))
        if sum(table.num_rows for table in tables) >= ROWS_AT_ONCE:
            yield pa.concat_tables(tables).combine_chunks()
            tables = []
    if tables:
        yield pa.concat_tables(tables).combine_chunks()


def _write_lost_sources(folder: Path, utterances: Iterable[Utterance]) -> None:
    """Write the lists of recordings that speakers' folders have lost."""
    speakers = read_columns(folder / UTTERANCES)["speaker"].unique()
    of_speaker = {name: folder / name / SOURCES for name in speakers.to_pylist()}
    lost = {
        name for name, path in of_speaker.items() if not path.exists() or not path.stat().st_size
    }
    _write_sources(folder, utterances, lost)


def _write_sources(folder: Path, utterances: Iterable[Utterance], kept: set[str]) -> None:
    """Write `SOURCES` of these speakers: each mel and its recording, also those left out."""
    for speaker, rows in groupby(utterances, key=lambda row: row.speaker):
        if speaker in kept:  # PaddleSpeech's training fails for a speaker's folder without mels
            lines = [f"{mel_name(row).rpartition('/')[2]},{row.path}\n" for row in rows]
            sources = folder / speaker / SOURCES
            with atomic_write(sources, sync=False) as temporary:  # as the mels beside it
                temporary.write_text("".join(lines), "utf-8")
