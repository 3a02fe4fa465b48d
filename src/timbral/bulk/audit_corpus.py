"""An audit that also reads the recordings, to find those in which a second speaker talks."""

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
"""in an `embed` folder: the vectors of recordings' parts, from which a killed job is resumed"""


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
        embeddings: a folder that `embed` made
        output: a Parquet file of the findings, with a CSV beside it; None: audit.parquet in the
            folder, where `map` finds it; beside the table, where that is a file
        min_probability: findings less probable are left out; in [0, 1]
        other: another such folder, of the same encoder, such as that of trials beside training:
            speakers that are in both are found, too
        encoder: an Embedder, or what `load_encoder` takes: it reads the recordings again, in
            parts, and finds those in which a second speaker talks; None: they are not read. The
            vectors of parts are kept in the folder, in .parts/, and a killed audit is resumed
        corpus: with `encoder`, a folder or URL, below which recordings may be read; None: those of
            the corpus that was embedded, if it lies on this machine
        failures: a list, to which an AudioError is added for each recording that was not read
        progress: called with the recordings read so far, and their number

    Returns:
        the findings, a row each, by kind and from the surest; columns kind, probability,
        utterance, speaker, other_utterance, other_speaker, cosine, other_cosine, path, and of
        a second speaker moment_seconds, where the voice changes, and second_voice, before or
        behind it

    Raises ConfigError for an impossible probability, DataError for another folder, for an `other`
    of another encoder, or when no recording may be read.
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
    """The parts of the rows' recordings; those that may not be read join the `failures`."""
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
    """Where the vectors of parts are kept: in the folder, or beside the table."""
    if embeddings.is_dir():
        return embeddings / PARTS_FOLDER
    return embeddings.with_name(f"{PARTS_FOLDER}-{embeddings.stem}")
