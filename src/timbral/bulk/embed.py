"""Embed a whole corpus into files of vectors, resumably. Start reading this package here.

Finished shards are stored in OUTPUT/.embed/, from which a killed job resumes. At the end they are
converted to the requested format. If recordings were repaired, replaced or added later, a second
run embeds only these. If the corpus was moved, recordings are recognized by their content.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from timbral.bulk.embed_job import JOB_FILE, WORK_FOLDER, EmbedJob
from timbral.bulk.engines import DEFAULT_ENGINE, Engine
from timbral.bulk.inputs import input_of
from timbral.bulk.reused_shards import begin_job
from timbral.bulk.shard_work import (
    EmbedProgress,
    WorkDone,
    embed_missing,
    read_shards,
    write_failures,
)
from timbral.bulk.shards import split_into_shards
from timbral.data.corpora.passed_over import count_passed_over
from timbral.data.further_columns import joined
from timbral.data.manifest import Manifest, Utterance
from timbral.embeddings.formats.registry import FORMATS
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.precision import with_precision
from timbral.errors import ConfigError, DataError, check_choice, none_usable
from timbral.inference.embedder import Embedder
from timbral.io.file_names import check_file_names
from timbral.io.locks import folder_lock
from timbral.io.outputs import EMBEDDINGS, claim_folder, claim_shared_folder
from timbral.io.storage import Folder, is_url, location_of, upload_tree

__all__ = ["EmbedSummary", "embed_corpus"]


@dataclass(frozen=True)
class EmbedSummary:
    """The result of an embedding job."""

    num_utterances: int
    num_speakers: int
    num_failures: int
    audio_seconds: float
    new_audio_seconds: float
    """seconds of audio embedded by this run; the rest was embedded by earlier runs"""
    wall_seconds: float
    """duration of this run"""
    reused: bool
    """whether earlier runs had embedded everything"""
    passed_over: Counter[str] = field(default_factory=Counter)
    """number of files in the corpus's folder that are no recordings, by suffix"""
    num_risky: int = 0
    """number of recordings with at least one risk; they are embedded like the others"""
    risk_counts: Counter[str] = field(default_factory=Counter)
    """number of recordings with each kind of risk, as found by `timbral.check`"""
    moved_from: str = ""
    """earlier location of the corpus; empty if it was not moved"""

    @property
    def times_real_time(self) -> float:
        """Duration of the audio embedded by this run, divided by the run's duration."""
        return self.new_audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


def embed_corpus(
    embedder: Embedder,
    utterances: Sequence[Utterance],
    root: str | Path,
    output: str | Path,
    *,
    format: str = "parquet",
    model_name: str | None = None,
    reuse: str | Path | None = None,
    engine: Engine = DEFAULT_ENGINE,
    progress: EmbedProgress = lambda done, total, seconds, failures: None,
) -> EmbedSummary:
    """Embed all utterances and speakers.

    Unusable recordings are listed in failures.jsonl. Further columns of the utterances, such as
    gender, are copied to the table.

    Args:
        embedder: the encoder
        utterances: the corpus
        root: the corpus's folder, whose tree the formats npy and torch mirror; if it is also the
            `output`, their files are next to the audio
        output: a folder or URL
        format: a name in `timbral.embeddings.formats.registry.FORMATS`
        model_name: part of ddvc's file names; None: the encoder's name
        reuse: a folder or URL from an earlier job, in any format, whose vectors of the same
            recordings are reused, wherever the recordings were
        engine: how to parallelize
        progress: called with the number of utterances done and in all, the seconds of audio
            embedded by this run, and the number of failures

    Raises ConfigError for an unknown format; DataError if `output` or `reuse` has vectors of other
    weights, `output` those of another corpus, or `reuse` none of these recordings, and if no
    recording can be used.
    """
    if not utterances:
        raise DataError("embedding a corpus needs at least one utterance, got none")
    name = model_name or embedder.name
    _check_names(format, name)
    _check_strict(engine, utterances)
    input_of(embedder, utterances[0].path)  # raises before a folder is claimed
    started = time.monotonic()
    passed_over = count_passed_over([root], utterances)
    beside_audio = location_of(root) == location_of(output)
    several_models = beside_audio and FORMATS[format].names_model
    shard_folder = f"{WORK_FOLDER}-{name}" if several_models else WORK_FOLDER
    _claim(output, FORMATS[format], beside_audio)
    files = _planned_files(format, utterances, root, name)
    if not (Folder(output) / shard_folder).read(JOB_FILE):
        _refuse_existing(output, files)
    with _locked(output):
        folder = Folder(output) / shard_folder
        job = EmbedJob.of(embedder, root)
        rows, manifest = _without_further(utterances)
        known, moved_from = begin_job(folder, job, rows, reuse, beside_audio=beside_audio)
        shards = split_into_shards(rows, embedder.device.type, folder)
        done = embed_missing(embedder, shards, folder, engine, progress, known)
        table, failures = read_shards(shards, folder, rows)
        table = with_precision(table, embedder.precision)
        table = joined(table, manifest.table, manifest.further_names)
        write_failures(failures, output)
        if table.num_rows == 0:
            first = failures[-len(utterances)]  # those of a list's bad lines come before it
            raise none_usable(len(utterances), first, f"{output}/failures.jsonl")
        _write_vectors(format, table, root, output, name)
    summary = _summary(table, len(failures), done, started, passed_over)
    return replace(summary, moved_from=moved_from)


def _without_further(utterances: Sequence[Utterance]) -> tuple[Sequence[Utterance], Manifest]:
    """The utterances without further columns, for shards, and the manifest with all columns."""
    if isinstance(utterances, Manifest):
        return utterances.without_further(), utterances
    return utterances, Manifest.of(utterances)


def _summary(
    table: pa.Table, failures: int, done: WorkDone, started: float, passed_over: Counter[str]
) -> EmbedSummary:
    risks = table["risks"]
    return EmbedSummary(
        num_utterances=table.num_rows,
        num_speakers=len(table["speaker"].unique()),
        num_failures=failures,
        audio_seconds=sum(table["duration_seconds"].to_pylist()),
        new_audio_seconds=done.seconds,
        wall_seconds=time.monotonic() - started,
        reused=not done.seconds,
        passed_over=passed_over,
        num_risky=sum(map(bool, risks.to_pylist())),
        risk_counts=Counter(risks.combine_chunks().flatten().to_pylist()),
    )


def _check_strict(engine: Engine, utterances: Sequence[Utterance]) -> None:
    """Raise the first failure of the list itself, if `engine` is strict."""
    if engine.strict and isinstance(utterances, Manifest) and utterances.failures:
        raise utterances.failures[0]


def _check_names(format: str, model_name: str) -> None:
    check_choice("format", format, FORMATS)
    if Path(model_name).name != model_name:
        raise ConfigError(
            f"model_name is part of file names and cannot be {model_name!r}; remove the /"
        )


def _claim(output: str | Path, format: VectorFormat, beside_audio: bool) -> None:
    """Raise DataError if a folder contains anything but vectors, and what may be next to them."""
    if is_url(output):
        return
    if beside_audio and format.mirrors_corpus:
        claim_shared_folder(Path(output), EMBEDDINGS)
    else:
        claim_folder(Path(output), EMBEDDINGS, beside=format.may_be_beside)


def _planned_files(
    format: str, utterances: Sequence[Utterance], root: str | Path, model_name: str
) -> list[Path]:
    """The files whose names are made from ids; DataError for ids that the format cannot have."""
    columns = ("utterance", "speaker", "path")
    table = pa.table({name: [getattr(row, name) for row in utterances] for name in columns})
    files = FORMATS[format].planned_files(table, root, model_name)
    check_file_names(files)
    return files


def _refuse_existing(output: str | Path, files: Sequence[Path]) -> None:
    """Raise DataError if one of the files exists; none was written by an earlier run of this
    job.
    """
    for path in files if not is_url(output) else ():
        if (Path(output) / path).exists():
            raise DataError(
                f"{Path(output) / path}: exists and was not made by this job, so it is not "
                "overwritten; choose another `output`"
            )


def _locked(output: str | Path) -> AbstractContextManager[None]:
    return nullcontext() if is_url(output) else folder_lock(Path(output))


def _write_vectors(
    format: str, table: pa.Table, root: str | Path, output: str | Path, model_name: str
) -> None:
    if not is_url(output):
        FORMATS[format].write(table, root, Path(output), model_name)
        return
    with tempfile.TemporaryDirectory(prefix="timbral-") as folder:
        FORMATS[format].write(table, root, Path(folder), model_name)
        upload_tree(Path(folder), str(output))
