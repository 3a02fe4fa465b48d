"""The verb audit."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    SOME_FAILED,
    Embeddings,
    Running,
    load_embedder,
    option,
)
from timbral.cli.wording import count
from timbral.errors import AudioError, ConfigError
from timbral.io.progress import bar

__all__ = ["run"]

NEEDS = {
    "shared-speaker": "speakers that are in another corpus, too (--other EMBEDDINGS)",
    "second-speaker": "recordings in which a second speaker talks (--encoder ENCODER)",
}
"""what is searched for only if an option is given, with the option"""


@dataclass(frozen=True)
class RecordingOptions:
    """Recordings, which are read again to find those with a second speaker."""

    encoder: Annotated[
        str | None,
        option(
            "ENCODER",
            "also read the recordings with this encoder and find those with a second speaker; a "
            "killed audit resumes",
        ),
    ] = None
    corpus: Annotated[
        str | None,
        option(
            "FOLDER",
            "with --encoder: the folder or URL from which recordings may be read; default: the "
            "embedded corpus, if it is on this machine",
        ),
    ] = None


DEFAULT_RECORDINGS = RecordingOptions()


def run(
    embeddings: Embeddings,
    *,
    output: Annotated[
        Path | None,
        option(
            "FILE.parquet",
            "the table of findings, also written as CSV; default: audit.parquet in the folder, "
            "where `timbral map` finds it and marks the utterances",
        ),
    ] = None,
    other: Annotated[
        Path | None,
        option(
            "EMBEDDINGS",
            "vectors of another corpus from the same encoder, such as the trials: also find "
            "speakers that are in both",
        ),
    ] = None,
    min_probability: Annotated[
        float, option("P", "leave out findings with a lower probability")
    ] = 0.5,
    show: Annotated[int, option("N", "number of findings of each kind to print")] = 10,
    recordings: Annotated[RecordingOptions, arg(name="")] = DEFAULT_RECORDINGS,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Find wrong labels, split or mixed speakers, and duplicates.

    example: timbral audit embeddings
    """
    from timbral import api
    from timbral.embeddings.audit.findings import KINDS, not_searched
    from timbral.embeddings.audit.findings_file import findings_path

    encoder, corpus = recordings.encoder, recordings.corpus
    if corpus is not None and encoder is None:
        raise ConfigError("--corpus is only for --encoder, which reads recordings; leave it out")
    target = output or findings_path(embeddings)
    embedder = None if encoder is None else load_embedder(encoder, running)
    failures: list[AudioError] = []
    with nullcontext(_no_progress) if embedder is None else bar("auditing") as advance:
        found = api.audit(
            embeddings, target, min_probability=min_probability, other=other, encoder=embedder,
            corpus=corpus, failures=failures, progress=advance,
        )  # fmt: skip
    passed_over = {kind: f"{KINDS[kind]} ({why})" for kind, why in not_searched(found).items()}
    for kind, given in {"shared-speaker": other, "second-speaker": encoder}.items():
        if given is None:
            passed_over[kind] = NEEDS[kind]
    _print_findings(found.to_pylist(), passed_over, show)
    print(f"findings: {target}, {target.with_suffix('.csv')}")
    for what in passed_over.values():
        print(f"not looked for: {what}", file=sys.stderr)
    return _report_failures(failures)


def _no_progress(done: int, total: int) -> None:
    pass


def _print_findings(
    findings: Sequence[dict[str, Any]], passed_over: Container[str], show: int
) -> None:
    """Print how many findings of each kind that was searched for, and the first `show` of each."""
    from timbral.embeddings.audit.findings import KINDS

    for kind, what in KINDS.items():
        if kind in passed_over:
            continue
        rows = [row for row in findings if row["kind"] == kind]
        print(f"{what}: {len(rows):,}")
        for row in rows[:show]:
            print(f"  {100 * row['probability']:5.1f} %  {_describe(row)}")


def _report_failures(failures: Sequence[AudioError]) -> int:
    """Print how many recordings could not be examined, and the first; returns the exit code."""
    if not failures:
        return OK
    print(
        f"{count(len(failures), 'recording')} could not be examined; the first: {failures[0]}",
        file=sys.stderr,
    )
    return SOME_FAILED


def _describe(row: dict[str, Any]) -> str:
    from timbral.embeddings.audit.findings import when_talking

    if row["kind"] == "second-speaker":
        return "{utterance} of {speaker}: another voice ".format(**row) + when_talking(row)
    names = {
        "mislabeled": "{utterance} of {speaker}: {other_speaker}?",
        "same-speaker": "{speaker} and {other_speaker}",
        "mixed-speaker": "{speaker}, for example {utterance}",
        "duplicate": "{utterance} and {other_utterance}",
        "shared-speaker": "{speaker} here and {other_speaker} there, for example {utterance} and "
        "{other_utterance}",
    }
    return names[row["kind"]].format(**row)
