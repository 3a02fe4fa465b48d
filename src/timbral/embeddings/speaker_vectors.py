"""One vector per speaker of an `embed` folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.table import SPEAKERS, check_parquet_name, read_embeddings, write_table
from timbral.io.outputs import claim_file

__all__ = ["speakers"]


def speakers(
    embeddings: str | Path,
    output: str | Path | None = None,
    aggregate: str = "normalized-mean",
    *,
    group_by: str = "speaker",
    clusters: int = 2,
    unit_length: bool | None = None,
) -> pa.Table:
    """One vector per speaker, session or cluster of an `embed` folder.

    Args:
        embeddings: a folder from `embed`
        output: a Parquet file to write; None: none
        aggregate: ``mean`` (the plain mean, as in ddvc), ``normalized-mean`` (of unit vectors),
            ``duration-weighted``, ``trimmed`` (without the farthest tenth) or ``medoid`` (the
            utterance closest to all others)
        group_by: one vector for each ``speaker``, ``session`` or ``cluster``
        clusters: clusters per speaker, with ``group_by="cluster"``
        unit_length: whether to normalize vectors to unit length; None: for all but ``mean``

    Returns:
        a table with the columns speaker, group, num_utterances, duration_seconds,
        mean_cosine_distance, embedding, utterance_ids, encoder, weights_sha256, license

    Raises ConfigError for an unknown `aggregate` or `group_by`, DataError for another kind of
    folder.
    """
    if output is not None:
        claim_file(Path(output), SPEAKERS, [embeddings])
        check_parquet_name(Path(output))
    table = speaker_table(
        read_embeddings(embeddings),
        aggregate,
        group_by=group_by,
        clusters=clusters,
        unit_length=unit_length,
    )
    if output is not None:
        write_table(table, Path(output))
    return table
