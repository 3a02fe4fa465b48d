"""Audit an embedded corpus, on request with its recordings, to find second speakers in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from timbral.bulk.part_vectors import KeptParts, embed_parts
from timbral.bulk.readable_audio import ReadableAudio
from timbral.data.manifest import Utterance
from timbral.embeddings.audit.findings_file import write_findings
from timbral.embeddings.audit.second_speaker import LEAST_RECORDINGS
from timbral.errors import AudioError, DataError
from timbral.inference.load import embedder_of
from timbral.io.types import Progress

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["audit"]

PARTS_FOLDER = ".parts"
"""name of the folder, in an `embed` folder, with the vectors of recordings' parts"""


def audit(
    embeddings: str | Path,
    output: str | Path | None = None,
    *,
    min_probability: float = 0.5,
    other: str | Path | None = None,
    encoder: Embedder | str | Path | None = None,
    corpus: str | Path | None = None,
    failures: list[AudioError] | None = None,
    progress: Progress = lambda done, total: None,
) -> pa.Table:
    """Find wrong labels, split or mixed speakers and duplicates in an embedded corpus.

    Args:
        embeddings: a folder from `embed`
        output: a Parquet file for the findings, with a CSV next to it; None: audit.parquet in the
            folder, where `map` finds it, or next to the table if `embeddings` is a file
        min_probability: lowest probability of the findings to report, in [0, 1]
        other: another folder of the same encoder, such as that of trials for training data:
            speakers that are in both are also found
        encoder: an Embedder, or anything that `load_encoder` takes. It reads the recordings again,
            in parts, and finds those in which a second speaker talks; None: they are not read. The
            vectors of parts are stored in the folder, in .parts/, so that a killed audit resumes
        corpus: with `encoder`: a folder or URL from which recordings may be read; None: the
            embedded corpus, if it is on this machine
        failures: a list to which an AudioError is appended for each recording that was not read
        progress: called with the number of recordings read so far, and in all

    Returns:
        the findings, one per row, by kind, the most probable first; with the columns kind,
        probability, utterance, speaker, other_utterance, other_speaker, cosine, other_cosine, path
        and, for a second speaker, moment_seconds (when the voice changes) and second_voice (before
        or after: on which side of that the second speaker talks)

    Raises ConfigError for an impossible probability, DataError for another kind of folder, an
    `other` from another encoder, or if no recording may be read.
    """
    listed: list[AudioError] = [] if failures is None else failures

    def parts_of(table: pa.Table) -> KeptParts:
        assert encoder is not None
        audio = ReadableAudio(Path(embeddings), corpus)
        return _parts_of(table, encoder, audio, Path(embeddings), listed, progress)

    return write_findings(
        embeddings,
        output,
        min_probability=min_probability,
        other=other,
        parts_of=None if encoder is None else parts_of,
    )


def _parts_of(
    table: pa.Table,
    encoder: Embedder | str | Path,
    audio: ReadableAudio,
    embeddings: Path,
    failures: list[AudioError],
    progress: Progress,
) -> KeptParts:
    """The parts of the rows' recordings; those that may not be read are added to `failures`."""
    columns = [table[name].to_pylist() for name in ("utterance", "speaker", "session", "path")]
    readable, utterances = [], []
    for row, (utterance, speaker, session, path) in enumerate(zip(*columns, strict=True)):
        refusal = audio.refusal(path)
        if refusal:
            failures.append(AudioError(path or utterance, refusal, "unreadable"))
        else:
            readable.append(row)
            utterances.append(Utterance(utterance, speaker, session, path, corpus=""))
    if not readable:
        raise DataError(
            f"{embeddings}: none of its recordings can be read. The first: {failures[0]}"
        )
    speakers = {row.speaker for row in utterances}
    if len(utterances) < LEAST_RECORDINGS or len(speakers) < 2:
        raise DataError(
            f"`encoder`: at least {LEAST_RECORDINGS} recordings of two or more speakers are "
            f"needed to learn what is usual; {embeddings} has {len(utterances)} readable ones of "
            f"{len(speakers)}"
        )

    parts, failed = embed_parts(
        embedder_of(encoder), utterances, np.array(readable), _folder(embeddings), progress=progress
    )
    failures += failed
    return parts


def _folder(embeddings: Path) -> Path:
    """The folder for the vectors of parts: in the `embed` folder, or next to the table."""
    if embeddings.is_dir():
        return embeddings / PARTS_FOLDER
    return embeddings.with_name(f"{PARTS_FOLDER}-{embeddings.stem}")
