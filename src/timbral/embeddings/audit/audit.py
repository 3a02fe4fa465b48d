"""Doubts about a corpus, from its vectors: wrong labels, twins, two in one, copies.

Every doubt has a probability. It comes from scores whose kind is known because they were made on
this very corpus (utterances under wrong labels, speakers cut in two, speakers thrown together), by
logistic regression; see `calibration`, and `duplicates` for copies. It is as good as the
encoder and as these imitations, no better.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from timbral.embeddings.audit.duplicates import check_duplicates
from timbral.embeddings.audit.labels import centered, check_labels
from timbral.embeddings.audit.people import check_one, check_two
from timbral.embeddings.table import vectors_of

__all__ = ["KINDS", "audit", "notes"]

KINDS = {
    "label": "utterances nearer to another speaker than to their own",
    "one-person": "pairs of speakers that are one person",
    "two-people": "speakers that are two people",
    "duplicate": "pairs of files with the same recording",
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
    ]
)
"""`cosine` is to the speaker, or between the two that the row names; `other_cosine` to the other"""


def audit(table: pa.Table, min_probability: float = 0.5) -> pa.Table:
    """Every doubt of `min_probability` or more about a table of utterances, by kind, surest first.

    Speakers with one utterance have no label to doubt; twins, pairs and copies need speakers with
    several.
    """
    names, codes = np.unique(np.asarray(table["speaker"].to_pylist()), return_inverse=True)
    codes = codes.astype(np.int64)
    raw = vectors_of(table)
    vectors = centered(raw, codes)
    order = np.argsort(codes, kind="stable")
    owned = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    sessions = np.asarray(table["session"].to_pylist())
    seconds = table["duration_seconds"].to_numpy()
    utterances, paths = table["utterance"].to_pylist(), table["path"].to_pylist()

    def rows() -> Iterator[dict[str, Any]]:
        found = check_labels(vectors, codes)
        for row in np.argsort(-np.nan_to_num(found.probability), kind="stable"):
            yield {
                **_about(found.probability[row], found.own[row], names[codes[row]]),
                **{"kind": "label", "utterance": utterances[row], "path": paths[row]},
                "other_speaker": str(names[found.nearest[row]]),
                "other_cosine": float(found.other[row]),
            }
        for first, second, cosine, probability in check_one(vectors, owned, sessions):
            about = _about(probability, cosine, names[first])
            yield {**about, "kind": "one-person", "other_speaker": str(names[second])}
        for speaker, cosine, smaller, probability in check_two(vectors, owned):
            about = _about(probability, cosine, names[speaker])
            example = {"utterance": utterances[smaller[0]], "path": paths[smaller[0]]}
            yield {**about, **example, "kind": "two-people"}
        for first, second, cosine, probability in check_duplicates(raw, seconds, owned):
            yield {
                **_about(probability, cosine, names[codes[first]]),
                **{"kind": "duplicate", "utterance": utterances[first], "path": paths[first]},
                "other_utterance": utterances[second],
                "other_speaker": str(names[codes[second]]),
            }

    kept = [row for row in rows() if row["probability"] >= min_probability]
    return pa.Table.from_pylist(kept, SCHEMA)


def _about(probability: float, cosine: float, speaker: str) -> dict[str, Any]:
    return {"probability": float(probability), "cosine": float(cosine), "speaker": str(speaker)}


def notes(doubts: pa.Table) -> dict[str, str]:
    """For the voice map: what is doubted of each utterance that is named."""
    texts: dict[str, list[str]] = {}
    for row in doubts.to_pylist():
        sure = f"({100 * row['probability']:.0f} %)"
        if row["kind"] == "label":
            texts.setdefault(row["utterance"], []).append(f"{row['other_speaker']}? {sure}")
        elif row["kind"] == "duplicate":
            for one, other in (("utterance", "other_utterance"), ("other_utterance", "utterance")):
                texts.setdefault(row[one], []).append(f"copy of {row[other]}? {sure}")
        elif row["kind"] == "two-people":
            texts.setdefault(row["utterance"], []).append(f"a second person? {sure}")
    return {utterance: "; ".join(found) for utterance, found in texts.items()}
