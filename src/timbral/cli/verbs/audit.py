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
    min_probability: Annotated[float, option("P", "leave out what is less probable")] = 0.5,
    show: Annotated[int, option("N", "findings of each kind to print")] = 10,
) -> int:
    """Find wrong labels, split or mixed speakers, duplicates.

    example: timbral audit embeddings
    """
    from timbral import api
    from timbral.embeddings.audit.findings import KINDS

    target = output or embeddings / "audit.parquet"
    findings = api.audit(embeddings, target, min_probability=min_probability).to_pylist()
    for kind, what in KINDS.items():
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
    }
    return names[row["kind"]].format(**row)
