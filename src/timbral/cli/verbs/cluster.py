"""The verb cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from timbral.cli.common_options import OK, Embeddings, option
from timbral.cli.wording import count
from timbral.io.progress import bar

__all__ = ["run"]


def run(
    embeddings: Embeddings,
    *,
    output: Annotated[
        Path,
        option(
            "LABELS.parquet",
            "the table of labels: a corpus for `embed` and `train`, a table for `map`, `speakers` "
            "and `audit`. Also written: a CSV without vectors, and a CSV of clusters that may be "
            "one speaker",
        ),
    ],
    threshold: Annotated[
        float | None,
        option(
            "COSINE",
            "clusters with at least this mean cosine are merged; higher gives more speakers. "
            "Default: estimated from the vectors",
        ),
    ] = None,
    min_utterances: Annotated[
        int, option("N", "recordings that a speaker needs; smaller clusters are noise")
    ] = 2,
    show: Annotated[int, option("N", "number of pairs that may be one speaker to print")] = 10,
) -> int:
    """Group unlabeled recordings by speaker.

    example: timbral cluster embeddings --output labels.parquet
    """
    from timbral import api

    with bar("clustering") as advance:
        found = api.cluster(
            embeddings,
            output,
            threshold=threshold,
            min_utterances=min_utterances,
            progress=advance,
        )
    print(
        f"{count(found.num_speakers, 'speaker')} in {count(found.labels.num_rows, 'recording')}, "
        f"{found.num_noise:,} of them in no cluster (noise); merged down to a mean cosine of "
        f"{found.threshold:.3f}"
    )
    if found.merges.num_rows:
        print(f"{count(found.merges.num_rows, 'pair')} of speakers that may be one:")
    for row in found.merges.slice(0, show).to_pylist():
        print(f"  {row['cosine']:.3f}  {row['speaker']} and {row['other_speaker']}")
    pairs = output.with_name(f"{output.stem}-merges.csv")
    print(f"labels: {output}, {output.with_suffix('.csv')}; all pairs: {pairs}")
    return OK
