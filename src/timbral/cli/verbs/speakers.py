"""The verb speakers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from timbral.cli.common_options import OK, Embeddings, option
from timbral.cli.wording import count
from timbral.io.durations import duration

__all__ = ["run"]


def run(
    embeddings: Embeddings,
    *,
    output: Annotated[Path, option("FILE.parquet", "the table of vectors")],
    aggregate: Annotated[
        Literal["mean", "normalized-mean", "duration-weighted", "trimmed", "medoid"],
        option(
            None,
            "mean: the plain mean, as in ddvc; normalized-mean: of unit vectors; "
            "duration-weighted: weighted by duration; trimmed: without the farthest tenth; "
            "medoid: the utterance closest to all others",
        ),
    ] = "normalized-mean",
    group_by: Annotated[
        Literal["speaker", "session", "cluster"], option(None, "one vector for each of these")
    ] = "speaker",
    clusters: Annotated[int, option("N", "clusters per speaker, with --group-by cluster")] = 2,
    unit_length: Annotated[
        Literal["auto", "yes", "no"], option(None, "auto: yes for all but mean")
    ] = "auto",
) -> int:
    """Compute one vector per speaker, session or cluster.

    example: timbral speakers embeddings --aggregate trimmed --output voices.parquet
    """
    from timbral import api

    table = api.speakers(
        embeddings,
        output,
        aggregate,
        group_by=group_by,
        clusters=clusters,
        unit_length={"auto": None, "yes": True, "no": False}[unit_length],
    )
    length = duration(sum(table["duration_seconds"].to_pylist()))
    speakers = len(set(table["speaker"].to_pylist()))
    print(f"{count(table.num_rows, 'vector')} of {count(speakers, 'speaker')} ({length}): {output}")
    return OK
