"""A whole corpus to files of vectors; resumable.

Finished utterances lie in OUTPUT/.embed/ in parts; a killed job goes on behind the last ones.
At the end the parts become the files that were asked for. When recordings were repaired or added
since, a second run embeds the parts that they are in anew.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path

import pyarrow as pa
import torch

from timbral.bulk.engines import embed_here, embed_in_processes
from timbral.bulk.inputs import input_of
from timbral.bulk.on_ray import embed_on_ray
from timbral.bulk.shards import Done, Part, cut, read_part
from timbral.data.manifest import Utterance
from timbral.embeddings.formats import FORMATS
from timbral.errors import ConfigError, DataError, did_you_mean
from timbral.inference.embedder import Embedder
from timbral.io.devices import tune_cpu
from timbral.io.files import folder_lock
from timbral.io.storage import Folder, is_url, location_of, upload_tree

__all__ = ["BulkReport", "Engine", "embed_corpus"]

PARTS_PER_WORKER = 8
"""a worker takes about as long to start as for one of them"""

Progress = Callable[[int, int, float, int], None]
"""utterances done, all of them, seconds of audio embedded by this run, failures"""


@dataclass(frozen=True)
class BulkReport:
    """What an embedding job ended with."""

    utterances: int
    speakers: int
    audio_seconds: float
    failures: int
    wall_seconds: float
    """of this run; what an earlier run had done is not in it"""
    new_audio_seconds: float
    """audio embedded by this run"""

    @property
    def realtime(self) -> float:
        """Seconds of audio per second, of what this run did."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True)
class Engine:
    """Who embeds. The vectors do not depend on it (to 1e-5), their order never."""

    name: str = "local"
    """local, or ray"""
    workers: int | None = 1
    """processes of one core each; 1 local: this process, with as many threads as torch has;
    None: one for each core (or GPU) in a long job, else 1. More than one start Python anew: a
    script needs ``if __name__ == "__main__":``"""
    ray_address: str | None = None
    """of a running cluster; None starts one on this machine"""
    strict: bool = False
    """the first recording that cannot be used ends the job with its AudioError"""

    def __post_init__(self) -> None:
        if self.name not in ("local", "ray"):
            known = ("local", "ray")
            raise ConfigError(f"unknown engine {self.name!r}{did_you_mean(self.name, known)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers must be 1 or more, got {self.workers}")

    def run(self, embedder: Embedder, parts: Sequence[Part], folder: Folder) -> Iterator[Done]:
        """Embed parts into `folder`, in any order."""
        if self.name == "ray":
            return embed_on_ray(
                embedder, parts, folder, self.strict, self.workers, self.ray_address
            )
        workers = self.workers or _worth_starting(len(parts), embedder.device.type)
        if workers > 1:
            return embed_in_processes(embedder, parts, folder, self.strict, workers)
        return embed_here(embedder, parts, folder, self.strict)


def _worth_starting(parts: int, device: str) -> int:
    """Workers that pay for the seconds in which they start."""
    count = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
    return max(1, min(count, parts // PARTS_PER_WORKER))


def embed_corpus(
    embedder: Embedder,
    utterances: Sequence[Utterance],
    root: str | Path,
    output: str | Path,
    *,
    format: str = "parquet",
    model_name: str | None = None,
    engine: Engine = Engine(),
    progress: Progress = lambda done, total, seconds, failures: None,
) -> BulkReport:
    """Embed every utterance and every speaker into `output`, a folder or a URL.

    `root` is the corpus's folder, whose tree the formats npy and torch mirror; where it is the
    `output` too, they lie beside the audio. Recordings that cannot be used go to failures.jsonl.
    Raises DataError when `output` holds the vectors of other weights or of another corpus, or
    when no recording could be used.
    """
    name = _check(format, model_name or embedder.name)
    input_of(embedder, utterances[0].path)  # an encoder that cannot hear it claims no folder
    started = time.monotonic()
    tune_cpu()
    beside = location_of(root) == location_of(output)
    # Files of ddvc carry the model's name, so those of several models lie beside one corpus.
    state = Folder(output) / (f".embed-{name}" if beside and format == "torch" else ".embed")
    lock: AbstractContextManager[None] = nullcontext()
    if not is_url(output):
        lock = folder_lock(Path(output))
    with lock:
        _claim(embedder, root, state)
        parts = cut(utterances, embedder.device.type)
        new_seconds = _embed_parts(embedder, parts, state, engine, progress)
        table, failures = _collect(parts, state)
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in failures)
        Folder(output).write("failures.jsonl", "".join(lines).encode())
        if table.num_rows == 0:
            raise DataError(
                f"none of the {len(failures)} recordings could be used; the first: "
                f"{failures[0]['path']}: {failures[0]['reason']}; "
                f"all of them: {output}/failures.jsonl"
            )
        _write(format, table, root, output, name)
    return BulkReport(
        utterances=table.num_rows,
        speakers=len(table["speaker"].unique()),
        audio_seconds=sum(table["duration_seconds"].to_pylist()),
        failures=len(failures),
        wall_seconds=time.monotonic() - started,
        new_audio_seconds=new_seconds,
    )


def _check(format: str, name: str) -> str:
    if format not in FORMATS:
        raise DataError(f"unknown format {format!r}{did_you_mean(format, FORMATS)}")
    if Path(name).name != name:
        raise DataError(f"--model-name is part of file names and cannot be {name!r}; leave out /")
    return name


def _claim(embedder: Embedder, root: str | Path, state: Folder) -> None:
    """Tie the folder to these weights and this corpus."""
    windows = embedder.network.windows
    job = {
        "weights_sha256": embedder.weights_sha256,
        "preprocessing": embedder.preprocessing.as_dict(),
        "windows": windows and list(astuple(windows)),
        "precision": embedder.precision,
        "corpus": location_of(root),
    }
    content = state.read("job.json")
    if content is None:
        state.write("job.json", json.dumps(job, indent=2).encode())
        return
    there = json.loads(content)
    differing = [key for key in job if there.get(key) != job[key]]
    if differing:
        raise DataError(
            f"{state.location}: holds vectors made with other {', '.join(differing)}; "
            "choose another --output, or delete that folder first"
        )


def _embed_parts(
    embedder: Embedder, parts: list[Part], state: Folder, engine: Engine, progress: Progress
) -> float:
    """Embed what is not there yet; returns seconds of audio embedded now."""
    waiting = [part for part in parts if not part.is_done(state)]
    total = sum(len(part.utterances) for part in parts)
    done = total - sum(len(part.utterances) for part in waiting)
    seconds, failures = 0.0, 0
    progress(done, total, seconds, failures)
    if waiting:
        for part in engine.run(embedder, waiting, state):
            done += part.utterances + part.failures
            seconds += part.audio_seconds
            failures += part.failures
            progress(done, total, seconds, failures)
    return seconds


def _collect(parts: list[Part], state: Folder) -> tuple[pa.Table, list[dict[str, str]]]:
    """All parts as one table in the order of the utterances, and all failures."""
    tables, failures = [], []
    for part in parts:
        table, failed = read_part(state, part)
        tables.append(table)
        failures += failed
    return pa.concat_tables(tables), failures


def _write(format: str, table: pa.Table, root: str | Path, output: str | Path, name: str) -> None:
    if not is_url(output):
        FORMATS[format](table, root, Path(output), name)
        return
    with tempfile.TemporaryDirectory(prefix="timbral-") as folder:
        FORMATS[format](table, root, Path(folder), name)
        upload_tree(Path(folder), str(output))
