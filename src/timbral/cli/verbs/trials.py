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
        int, option("N", "target trials of each speaker, and as many with others")
    ] = 50,
    across_sessions: Annotated[
        bool, option(None, "target trials pair different sessions: other rooms, other microphones")
    ] = False,
    genders: Annotated[
        Path | None,
        option("FILE", "lines `speaker gender`: non-target trials are within one gender"),
    ] = None,
    same: Annotated[
        tuple[str, ...],
        option("COLUMN …", "columns of the corpus that are alike in a non-target trial: gender"),
    ] = (),
    only_speakers: Annotated[
        Path | None,
        option(
            "FILE", "only of these, one a line, such as those that train --exclude-speakers had"
        ),
    ] = None,
    seed: Annotated[int, option("N", "another one draws another list")] = 0,
) -> int:
    """Draw a list of trials from a corpus, as many for every speaker.

    example: timbral trials VoxCeleb1/wav --across-sessions --output trials.txt
    """
    from timbral import api

    source = _told(corpus, layout)
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
    return _describe(drawn, output, per_speaker, across_sessions)


def _told(corpus: str, layout: str) -> str | Manifest:
    """What trials are drawn from; says how a corpus was read."""
    from timbral.scoring.utterances_of_vectors import holds_vectors

    if corpus != STDIN and holds_vectors(corpus):
        print("names in the list: the vectors' utterances, as `score` takes them", file=sys.stderr)
        return corpus
    found = find_corpus(corpus, layout)
    return found if corpus == STDIN else corpus


def _describe(drawn: TrialSummary, output: Path, per_speaker: int, across_sessions: bool) -> int:
    """Print what was drawn; the exit code."""
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
    return OK
