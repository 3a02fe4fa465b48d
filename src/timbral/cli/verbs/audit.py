"""The verb audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from timbral.cli.common_options import OK, Embeddings, option

__all__ = ["run"]


def run(
    embeddings: Embeddings,
    *,
    output: Annotated[
        Path | None,
        option(
            "FILE.parquet",
            "the table of findings, with a CSV beside it; default: audit.parquet in the folder, "
            "where `timbral map` finds it and rings the utterances",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        option(
            "EMBEDDINGS",
            "vectors of another corpus by the same encoder, such as trials beside training: "
            "speakers that are in both are found, too",
        ),
    ] = None,
    min_probability: Annotated[float, option("P", "leave out what is less probable")] = 0.5,
    show: Annotated[int, option("N", "findings of each kind to print")] = 10,
) -> int:
    """Find wrong labels, split or mixed speakers, duplicates.

    example: timbral audit embeddings
    """
    from timbral import api
    from timbral.embeddings.audit.findings import KINDS
    from timbral.embeddings.audit.findings_file import findings_path

    target = output or findings_path(embeddings)
    found = api.audit(embeddings, target, min_probability=min_probability, other=other)
    findings = found.to_pylist()
    for kind, what in KINDS.items():
        if kind == "shared-speaker" and other is None:
            continue
        rows = [row for row in findings if row["kind"] == kind]
        print(f"{len(rows):,} {what}")
        for row in rows[:show]:
            print(f"  {100 * row['probability']:5.1f} %  {_describe(row)}")
    print(f"all of them: {target}, {target.with_suffix('.csv')}")
    return OK


def _describe(row: dict[str, Any]) -> str:
    names = {
        "mislabeled": "{utterance} of {speaker}: {other_speaker}?",
        "same-speaker": "{speaker} and {other_speaker}",
        "mixed-speaker": "{speaker}, for example {utterance}",
        "duplicate": "{utterance} and {other_utterance}",
        "shared-speaker": "{speaker} here and {other_speaker} there, for example {utterance} and "
        "{other_utterance}",
    }
    return names[row["kind"]].format(**row)
