"""Find errors in a corpus from its embeddings.

These are utterances with a wrong label, speakers with two labels, two speakers under one label, and
recordings that occur twice. Every finding has a probability, from logistic regression on scores
that are known to be wrong, because the error was made on purpose in this very corpus: utterances
get other labels, speakers are split in two, and speakers are merged (`probability`; `duplicates`
works differently). It is only as good as the encoder and these imitations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timbral.embeddings.audit import mixed_speaker, same_speaker
from timbral.embeddings.audit.duplicates import LEAST_PAIRS, find_duplicates
from timbral.embeddings.audit.mislabeled import check_labels
from timbral.embeddings.audit.mixed_speaker import find_mixed_speakers
from timbral.embeddings.audit.same_speaker import find_same_speakers
from timbral.embeddings.audit.second_speaker import SplitRecordings, find_second_speakers
from timbral.embeddings.audit.shared_speaker import find_shared_speakers
from timbral.embeddings.table import vectors_of
from timbral.embeddings.vectors import centered
from timbral.io.outputs import FileKind
from timbral.io.types import Floats, Ints, Vectors

__all__ = ["FINDINGS", "KINDS", "audit", "not_searched", "notes", "when_talking"]

KINDS = {
    "mislabeled": "utterances nearer to another speaker than to their own",
    "same-speaker": "pairs of speakers that are one speaker",
    "mixed-speaker": "speakers that are two speakers",
    "duplicate": "pairs of files with the same recording",
    "shared-speaker": "speakers that are in the other corpus, too",
    "second-speaker": "recordings in which a second speaker talks",
}
SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("probability", pa.float64()),
        ("utterance", pa.string()),
        ("speaker", pa.string()),
        ("other_utterance", pa.string()),
        ("other_speaker", pa.string()),
        ("cosine", pa.float64()),
        ("other_cosine", pa.float64()),
        ("path", pa.string()),
        ("moment_seconds", pa.float64()),
        ("second_voice", pa.string()),
    ]
)
"""`cosine` is the cosine to the speaker, or between the two speakers or utterances of the row;
`other_cosine` is the cosine to the other speaker. For a mixed speaker, `utterance` is one of its
smaller cluster. For a second speaker, `cosine` is between the two parts of the recording, the voice
changes at `moment_seconds`, and `second_voice` is the second speaker's side: before or after."""

FINDINGS = FileKind("a table of findings", frozenset(SCHEMA.names))
NOT_SEARCHED = b"not_searched"
"""key of the schema's metadata: what the corpus is too small for, see `not_searched`"""


def audit(
    table: pa.Table,
    min_probability: float = 0.5,
    other: pa.Table | None = None,
    parts: Iterable[SplitRecordings] | None = None,
) -> pa.Table:
    """All findings in a table of utterances with `min_probability` or more, by kind, the most
    probable first.

    With an `other` corpus, such as the trials for training data, also the speakers that are in
    both; with the `parts` of recordings, also those in which a second speaker talks.

    The label of a speaker's only utterance cannot be checked. Other kinds of findings need speakers
    with several utterances, too; `not_searched` tells those for which there are too few.
    """
    corpus = _Corpus.of(table)
    searches = (
        _mislabeled(corpus),
        _same_speakers(corpus, min_probability),
        _mixed_speakers(corpus),
        _duplicates(corpus, min_probability),
    )
    rows = [row for found in searches for row in found if row["probability"] >= min_probability]
    if other is not None:
        rows += _shared_speakers(corpus, table, other, min_probability)
    if parts is not None:
        rows += _second_speakers(corpus, parts, min_probability)
    missing = _too_few(np.array([len(rows) for rows in corpus.rows_of_speakers]))
    return pa.Table.from_pylist(rows, SCHEMA.with_metadata({NOT_SEARCHED: json.dumps(missing)}))


def not_searched(findings: pa.Table) -> dict[str, str]:
    """The kinds of findings for which the corpus of a table of findings is too small, so that none
    was found whatever is in it, and what each of them needs.
    """
    metadata: dict[bytes, bytes] = findings.schema.metadata or {}
    kinds: dict[str, str] = json.loads(metadata.get(NOT_SEARCHED, b"{}"))
    return kinds


def _too_few(counts: Ints) -> dict[str, str]:
    """What kinds of findings need that a corpus with so many utterances of each speaker (S,)
    does not have.
    """
    missing = {}
    if len(counts) < 2 or counts.max() < 2:
        missing["mislabeled"] = "needs two speakers, one of them with two recordings"
    for kind, module in {"same-speaker": same_speaker, "mixed-speaker": mixed_speaker}.items():
        speakers, each = module.LEAST_SPEAKERS, module.MIN_UTTERANCES
        if (found := int((counts >= each).sum())) < speakers:
            needs = f"needs {speakers} speakers with {each} recordings or more, here are {found}"
            missing[kind] = needs
    if (pairs := int((counts * (counts - 1) // 2).sum())) < LEAST_PAIRS:
        needs = f"needs {LEAST_PAIRS} pairs of recordings of one speaker, here are {pairs}"
        missing["duplicate"] = needs
    return missing


@dataclass(frozen=True)
class _Corpus:
    """A table of utterances as arrays: N utterances of S speakers."""

    utterances: list[str]
    paths: list[str]
    speakers: NDArray[np.str_]
    """names (S,)"""
    codes: Ints
    """speaker of each utterance (N,)"""
    rows_of_speakers: list[Ints]
    sessions: NDArray[np.str_]
    seconds: Floats
    vectors: Vectors
    """(N, E)"""
    centered: Vectors

    @classmethod
    def of(cls, table: pa.Table) -> _Corpus:
        speakers, codes = np.unique(np.asarray(table["speaker"].to_pylist()), return_inverse=True)
        codes = codes.astype(np.int64)
        order = np.argsort(codes, kind="stable")
        vectors = vectors_of(table)
        return cls(
            utterances=table["utterance"].to_pylist(),
            paths=table["path"].to_pylist(),
            speakers=speakers,
            codes=codes,
            rows_of_speakers=np.split(order, np.cumsum(np.bincount(codes))[:-1]),
            sessions=np.asarray(table["session"].to_pylist()),
            seconds=table["duration_seconds"].to_numpy(),
            vectors=vectors,
            centered=centered(vectors, codes),
        )

    def example(self, row: int) -> dict[str, str]:
        return {"utterance": self.utterances[row], "path": self.paths[row]}


def _mislabeled(corpus: _Corpus) -> Iterator[dict[str, Any]]:
    check = check_labels(corpus.centered, corpus.codes)
    for row in np.argsort(-np.nan_to_num(check.probability), kind="stable"):
        yield {
            "kind": "mislabeled",
            "probability": float(check.probability[row]),
            **corpus.example(row),
            "speaker": str(corpus.speakers[corpus.codes[row]]),
            "other_speaker": str(corpus.speakers[check.nearest[row]]),
            "cosine": float(check.own_cosine[row]),
            "other_cosine": float(check.nearest_cosine[row]),
        }


def _same_speakers(corpus: _Corpus, least: float) -> Iterator[dict[str, Any]]:
    for pair in find_same_speakers(
        corpus.centered, corpus.rows_of_speakers, corpus.sessions, least
    ):
        yield {
            "kind": "same-speaker",
            "probability": pair.probability,
            "speaker": str(corpus.speakers[pair.first]),
            "other_speaker": str(corpus.speakers[pair.second]),
            "cosine": pair.cosine,
        }


def _shared_speakers(
    corpus: _Corpus, table: pa.Table, other: pa.Table, least: float
) -> Iterator[dict[str, Any]]:
    others = _Corpus.of(other)
    for pair in find_shared_speakers(table, other, least):
        yield {
            "kind": "shared-speaker",
            "probability": pair.probability,
            **corpus.example(corpus.rows_of_speakers[pair.first][0]),
            "speaker": str(corpus.speakers[pair.first]),
            "other_utterance": others.utterances[others.rows_of_speakers[pair.second][0]],
            "other_speaker": str(others.speakers[pair.second]),
            "cosine": pair.cosine,
        }


def _mixed_speakers(corpus: _Corpus) -> Iterator[dict[str, Any]]:
    for mixed in find_mixed_speakers(corpus.centered, corpus.rows_of_speakers):
        yield {
            "kind": "mixed-speaker",
            "probability": mixed.probability,
            **corpus.example(mixed.smaller_cluster[0]),
            "speaker": str(corpus.speakers[mixed.speaker]),
            "cosine": mixed.cosine,
        }


def _duplicates(corpus: _Corpus, least: float) -> Iterator[dict[str, Any]]:
    for pair in find_duplicates(corpus.vectors, corpus.seconds, corpus.rows_of_speakers, least):
        yield {
            "kind": "duplicate",
            "probability": pair.probability,
            **corpus.example(pair.first),
            "speaker": str(corpus.speakers[corpus.codes[pair.first]]),
            "other_utterance": corpus.utterances[pair.second],
            "other_speaker": str(corpus.speakers[corpus.codes[pair.second]]),
            "cosine": pair.cosine,
        }


def _second_speakers(
    corpus: _Corpus, parts: Iterable[SplitRecordings], least: float
) -> Iterator[dict[str, Any]]:
    for found in find_second_speakers(parts, corpus.codes):
        if found.probability < least:
            return  # they are sorted by probability
        yield {
            "kind": "second-speaker",
            "probability": found.probability,
            **corpus.example(found.recording),
            "speaker": str(corpus.speakers[corpus.codes[found.recording]]),
            "cosine": found.cosine,
            "moment_seconds": round(found.moment, 3),
            "second_voice": "after" if found.is_after else "before",
        }


def when_talking(finding: Mapping[str, Any]) -> str:
    """When a second speaker talks, as text, such as "from 6.2 s on"."""
    moment = f"{finding['moment_seconds']:.1f} s"
    return f"until {moment}" if finding["second_voice"] == "before" else f"from {moment} on"


def notes(findings: pa.Table, utterances: Sequence[str], speakers: Sequence[str]) -> list[str]:
    """The findings about each utterance and its speaker, as text; "" for none.

    A pair of speakers is noted at all their utterances, a mixed speaker at the utterance of its
    row.
    """
    by_utterance: dict[str, list[str]] = {}
    by_speaker: dict[str, list[str]] = {}
    for row in findings.to_pylist():
        percent = f"({100 * row['probability']:.0f} %)"
        utterance, other = row["utterance"], row["other_utterance"]
        speaker, other_speaker = row["speaker"], row["other_speaker"]
        if row["kind"] == "mislabeled":
            by_utterance.setdefault(utterance, []).append(f"{other_speaker}? {percent}")
        elif row["kind"] == "same-speaker":
            by_speaker.setdefault(speaker, []).append(f"same as {other_speaker}? {percent}")
            by_speaker.setdefault(other_speaker, []).append(f"same as {speaker}? {percent}")
        elif row["kind"] == "shared-speaker":
            text = f"{other_speaker} of the other corpus? {percent}"
            by_speaker.setdefault(speaker, []).append(text)
        elif row["kind"] == "mixed-speaker":
            by_utterance.setdefault(utterance, []).append(f"a second speaker? {percent}")
        elif row["kind"] == "second-speaker":
            text = f"another voice {when_talking(row)}? {percent}"
            by_utterance.setdefault(utterance, []).append(text)
        elif row["kind"] == "duplicate":
            by_utterance.setdefault(utterance, []).append(f"copy of {other}? {percent}")
            by_utterance.setdefault(other, []).append(f"copy of {utterance}? {percent}")
    return [
        "; ".join(by_utterance.get(utterance, []) + by_speaker.get(speaker, []))
        for utterance, speaker in zip(utterances, speakers, strict=True)
    ]
