"""Verbs from a corpus to vectors, and over vectors: embed, speakers, audit, map."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from timbral.cli.shared import (
    AS_USUAL,
    OK,
    SOME_FAILED,
    Encoder,
    Running,
    RunningOptions,
    count_failures,
    load_embedder,
)
from timbral.errors import ConfigError
from timbral.io.progress import bar, corpus_bar

if TYPE_CHECKING:
    from timbral.bulk.corpus import EmbedSummary

__all__ = ["audit", "embed", "map_voices", "speakers"]


def embed(
    encoder: Encoder,
    corpus: Annotated[Positional[str], arg(metavar="CORPUS")],
    *,
    output: str | None = None,
    beside_audio: bool = False,
    layout: str = "folder",
    pattern: str | None = None,
    format: Literal["parquet", "npy", "torch", "safetensors", "kaldi"] = "parquet",
    model_name: str | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    strict: bool = False,
    running: Running = AS_USUAL,
    config: Path | None = None,
    opts: tuple[str, ...] = (),
) -> int:
    """Vectors of every utterance and every speaker of a corpus.

    Args:
        corpus: its folder, or a URL such as s3://bucket/corpus
        output: folder or URL; a killed job is continued there
        beside_audio: npy or torch beside the recordings, instead of --output
        layout: folder, tree, kaldi, lhotse or a name of `timbral corpora`
        pattern: only recordings whose name fits it, such as '*.wav'
        format: parquet (one table), npy (PaddleSpeech), torch (ddvc), safetensors or kaldi
        model_name: the name in ddvc's file names; default the encoder's
        workers: processes of one core each, or with ray actors; default as many as pay off
        engine: local, or ray for Ray Data on a cluster
        ray_address: of a running Ray cluster; default one on this machine
        strict: stop at the first recording that cannot be used
        config: PaddleSpeech's YAML file, for its windows and level
        opts: pairs KEY VALUE of it, such as data.partial_overlap_ratio 0.75
    """
    from timbral import api
    from timbral.bulk.engines import Engine
    from timbral.compat.inference_settings import apply_settings

    target = _target(corpus, output, beside_audio, format)
    embedder = load_embedder(encoder, running)
    apply_settings(embedder, config, opts)
    how = Engine(engine, _workers(workers, engine, running), ray_address, strict)
    with corpus_bar("embedding") as report:
        done = api.embed(
            embedder, corpus, target, layout=layout, pattern=pattern, format=format,
            model_name=model_name, engine=how, progress=report,
        )  # fmt: skip
    return _tell(done, target)


def _workers(asked: int | None, engine: str, running: RunningOptions) -> int | None:
    if not running.encoder_class:
        return asked
    if engine == "ray" or (asked or 1) > 1:
        raise ConfigError("--encoder-class runs in this process: leave out --workers and --engine")
    return 1


def _target(corpus: str, output: str | None, beside_audio: bool, format: str) -> str:
    if (output is not None) == beside_audio:
        raise ConfigError("where shall the vectors go? give either --output or --beside-audio")
    if output is not None:
        return output
    if format not in ("npy", "torch"):
        raise ConfigError(
            f"--beside-audio writes a file for each recording, which --format {format} has not; "
            "allowed: npy, torch"
        )
    return corpus


def _tell(done: EmbedSummary, target: str) -> int:
    print(
        f"{done.num_utterances:,} utterances of {done.num_speakers:,} speakers "
        f"({done.audio_seconds / 3600:.2f} h) in {target}"
    )
    if done.new_audio_seconds:
        print(f"{done.times_real_time:.0f} x real time")
    return count_failures(done.num_failures, target)


def speakers(
    embeddings: Annotated[Positional[Path], arg(metavar="EMBEDDINGS")],
    *,
    output: Path,
    aggregate: Literal[
        "mean", "normalized-mean", "duration-weighted", "trimmed", "medoid"
    ] = "normalized-mean",
    group_by: Literal["speaker", "session", "cluster"] = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> int:
    """One vector a speaker, or one a session or cluster, from an `embed` folder.

    Args:
        embeddings: a folder made by `timbral embed`
        output: a Parquet file
        aggregate: mean (plain, as ddvc), normalized-mean (of unit vectors), duration-weighted
            (every second counts the same), trimmed (without the farthest tenth), medoid (the
            utterance nearest to all others)
        group_by: what a vector stands for
        clusters: how many a speaker has with --group-by cluster
        unit_length: default: all but `mean`
    """
    from timbral import api

    table = api.average_speakers(
        embeddings,
        output,
        aggregate,
        group_by=group_by,
        clusters=clusters,
        unit_length=unit_length,
    )
    hours = sum(table["duration_seconds"].to_pylist()) / 3600
    people = len(set(table["speaker"].to_pylist()))
    print(f"{table.num_rows:,} vectors of {people:,} speakers ({hours:.2f} h): {output}")
    return OK


def audit(
    embeddings: Annotated[Positional[Path], arg(metavar="EMBEDDINGS")],
    *,
    output: Path | None = None,
    min_probability: float = 0.5,
    show: int = 10,
) -> int:
    """Findings about a corpus: wrong labels, speakers that are one or two, duplicate files.

    Args:
        embeddings: a folder made by `timbral embed`
        output: a Parquet file, with a CSV beside it; default audit.parquet in the folder, where
            `timbral map` finds it and rings the utterances
        min_probability: what is less probable is left out
        show: rows of each kind to print
    """
    from timbral import api
    from timbral.embeddings.audit.findings import KINDS

    target = output or embeddings / "audit.parquet"
    findings = api.audit_folder(embeddings, target, min_probability).to_pylist()
    for kind, what in KINDS.items():
        rows = [row for row in findings if row["kind"] == kind]
        print(f"{len(rows):,} {what}")
        for row in rows[:show]:
            print(f"  {100 * row['probability']:5.1f} %  {_finding(row)}")
    print(f"all of them: {target}, {target.with_suffix('.csv')}")
    return OK


def _finding(row: dict[str, Any]) -> str:
    names = {
        "mislabeled": "{utterance} of {speaker}: {other_speaker}?",
        "same-speaker": "{speaker} and {other_speaker}",
        "mixed-speaker": "{speaker}, for example {utterance}",
        "duplicate": "{utterance} and {other_utterance}",
    }
    return names[row["kind"]].format(**row)


def map_voices(
    embeddings: Annotated[Positional[Path], arg(metavar="EMBEDDINGS")], *, output: Path
) -> int:
    """Draw the voices of an `embed` folder: click a point, hear the utterance.

    Args:
        embeddings: a folder made by `timbral embed`
        output: the page, such as map.html; a plot (.png) is put beside it
    """
    from timbral import api

    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output should name a page, such as map.html; got {output}")
    with bar("drawing") as advance:
        plot, page = api.draw_map(embeddings, output, advance)
    print(f"{page.num_points:,} points, {page.num_clips:,} with sound: {output}, {plot}")
    if page.unreadable:
        path, reason = page.unreadable[0]
        print(
            f"{len(page.unreadable):,} points have no sound; the first: {path}: {reason}",
            file=sys.stderr,
        )
    return SOME_FAILED if page.unreadable else OK
