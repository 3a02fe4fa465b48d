"""The verb trials."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.cli.common_options import OK, Layout, option
from timbral.cli.corpus_argument import STDIN, find_corpus
from timbral.cli.wording import count

if TYPE_CHECKING:
    from timbral.data.manifest import Manifest
    from timbral.scoring.balanced_trials import TrialSummary

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str], option("CORPUS", "a folder, a table, prepared data, vectors")
    ],
    *,
    output: Annotated[Path, option("FILE", "the list: lines `label path path`")],
    layout: Layout = "auto",
    per_speaker: Annotated[
        int, option("N", "target trials per speaker, and as many non-target trials")
    ] = 50,
    across_sessions: Annotated[
        bool, option(None, "target trials pair different sessions (rooms, microphones)")
    ] = False,
    genders: Annotated[
        Path | None,
        option("FILE", "lines `speaker gender`: keep non-target trials within one gender"),
    ] = None,
    same: Annotated[
        tuple[str, ...],
        option(
            "COLUMN …",
            "columns of the corpus that must be equal in non-target trials, such as gender",
        ),
    ] = (),
    only_speakers: Annotated[
        Path | None,
        option(
            "FILE",
            "draw only these speakers, one per line, such as those of train --exclude-speakers",
        ),
    ] = None,
    seed: Annotated[int, option("N", "random seed")] = 0,
) -> int:
    """Draw a balanced list of trials from a corpus.

    example: timbral trials VoxCeleb1/wav --across-sessions --output trials.txt
    """
    from timbral import api

    source = _source_of(corpus, layout)
    drawn = api.trials(
        source,
        output,
        layout=layout,
        per_speaker=per_speaker,
        across_sessions=across_sessions,
        genders=genders,
        same=same,
        only_speakers=only_speakers,
        seed=seed,
    )
    _print_summary(drawn, output, per_speaker, across_sessions)
    return OK


def _source_of(corpus: str, layout: str) -> str | Manifest:
    """The source of the trials; prints how a corpus was read."""
    from timbral.scoring.utterances_of_vectors import holds_vectors

    if corpus != STDIN and holds_vectors(corpus):
        print("names in the list: the vectors' utterances, as `score` takes them", file=sys.stderr)
        return corpus
    found = find_corpus(corpus, layout)
    return found if corpus == STDIN else corpus


def _print_summary(
    drawn: TrialSummary, output: Path, per_speaker: int, across_sessions: bool
) -> None:
    """Print how many trials of how many speakers were drawn."""
    if drawn.num_without_targets:
        print(
            f"{count(drawn.num_without_targets, 'speaker')} without a target trial", file=sys.stderr
        )
    if drawn.num_with_fewer:
        fewer = count(drawn.num_with_fewer, "speaker")
        pairs = "recordings of two sessions" if across_sessions else "recordings"
        print(
            f"{fewer} with fewer than {per_speaker} target trials: too few {pairs}", file=sys.stderr
        )
    print(
        f"{count(drawn.num_targets, 'target trial')} and "
        f"{count(drawn.num_nontargets, 'non-target trial')} of "
        f"{count(drawn.num_speakers, 'speaker')}: {output}, their speakers: {output}.utt2spk"
    )
