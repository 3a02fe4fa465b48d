"""The argument CORPUS: checking it, reading it, and printing how it was read."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.cli.wording import count

if TYPE_CHECKING:
    from timbral.data.manifest import Manifest

__all__ = ["STDIN", "check_corpus", "find_corpus", "print_left_out_columns"]

STDIN = "-"
NEARLY_ALL = 0.9
"""fraction of the utterances: a "speaker" with more is perhaps a folder that contains the
speakers"""
FEW = 10
"""with fewer utterances of several speakers, no warning is printed"""


def check_corpus(corpus: str, encoder: str) -> None:
    """Raise DataError if CORPUS does not exist; the message has the URL of a dataset that may be
    meant.

    Raises ConfigError if CORPUS is the name of an encoder: the two arguments were swapped.
    """
    from timbral.audio.segments import Segment
    from timbral.checkpoints.known_names import PUBLISHED_NAMES
    from timbral.cli.early_checks import check_folders
    from timbral.data.corpora.hub_dataset import dataset_hint
    from timbral.errors import ConfigError, DataError

    if corpus == STDIN:
        return
    file = Segment.of(corpus).file
    if corpus in PUBLISHED_NAMES and not Path(corpus).exists():
        example = shlex.join(["embed", corpus, encoder])
        raise ConfigError(
            f"{corpus} is an encoder, which comes before the corpus, as in `timbral {example}`"
        )
    if hint := dataset_hint(file):
        raise DataError(f"{file}: no such file or folder{hint}")
    check_folders(file)


def find_corpus(
    corpus: str, layout: str, pattern: str | None = None, *, mel_files: bool = False
) -> Manifest:
    """The utterances of CORPUS; prints the layout that was recognized, and what looks wrong.

    ``-`` is standard input: a list of recordings, or a table that begins with its header. Relative
    paths in it start from the working folder. Raises DataError like `find_utterances`.
    """
    from timbral.data.sources import find_utterances

    if corpus == STDIN:
        found = _from_standard_input(layout, pattern)
    else:
        found = find_utterances(corpus, layout, pattern, mel_files=mel_files)
    _print_layout(found, layout)
    _warn_of_dominant_speaker(found)
    return found


def _from_standard_input(layout: str, pattern: str | None) -> Manifest:
    from timbral.data.sources import find_utterances
    from timbral.errors import DataError

    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory(prefix="timbral-stdin-") as folder:
        file = Path(folder) / f"stdin{_suffix(content)}"
        file.write_bytes(content)
        try:
            return find_utterances(file, layout, pattern, root=Path.cwd())
        except DataError as error:
            raise DataError(str(error).replace(str(file), "standard input")) from None


def _suffix(content: bytes) -> str:
    """The suffix for a table or list, by its first line: JSON, a table's header, or a recording."""
    first = content.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0].strip()
    if first.startswith(b"{"):
        return ".jsonl"
    for separator, suffix in ((b",", ".csv"), (b";", ".csv"), (b"\t", ".tsv")):
        if b"path" in {name.strip(b' "') for name in first.split(separator)}:
            return suffix
    return ".txt"


def _print_layout(found: Manifest, layout: str) -> None:
    """Print which layout was recognized, if none was given, and what its speakers are."""
    from timbral.data.corpora.readings import describe_speakers

    if layout == "auto" and found.layout:
        print(f"layout: {found.layout}, {describe_speakers(found)}", file=sys.stderr)
    print_left_out_columns(found)


def print_left_out_columns(found: Manifest) -> None:
    """Print the further columns of the utterances, and which columns are left out, and why.

    Columns that timbral itself writes are not mentioned: it computes them again.
    """
    from timbral.data.further_columns import made_by_timbral

    if found.further_names:
        print(f"columns: {', '.join(found.further_names)}", file=sys.stderr)
    names_of: dict[str, list[str]] = {}
    own = made_by_timbral(found.left_out)
    for name, reason in found.left_out.items():
        if name in own:
            continue
        names_of.setdefault(reason, []).append(name)
    for reason, names in names_of.items():
        if len(names) == 1:
            print(f"column {names[0]!r} is left out: it {reason}", file=sys.stderr)
        else:
            print(f"columns {', '.join(names)} are left out: each {reason}", file=sys.stderr)


def _warn_of_dominant_speaker(found: Manifest) -> None:
    """Warn if one speaker has all or nearly all utterances, perhaps by a wrong layout."""
    counts = Counter(found.table["speaker"].to_pylist())
    speaker, most = counts.most_common(1)[0]
    if len(found) < 2 or (most < NEARLY_ALL * len(found)) or (len(counts) > 1 and len(found) < FEW):
        return
    advice = ""
    if found.layout in ("folder", "tree"):
        advice = "; if they are not, give the layout with --layout"
    some = "all" if len(counts) == 1 else f"{most:,} of"
    what = f"{some} {count(len(found), 'utterance')} belong to one speaker, {speaker!r}"
    print(f"warning: {what}{advice}", file=sys.stderr)
