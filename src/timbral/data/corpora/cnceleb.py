"""CN-Celeb 1 and 2: Chinese celebrities in eleven genres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus, Scan
from timbral.data.corpora.folders import utterances_below
from timbral.data.manifest import Utterance
from timbral.errors import AudioError
from timbral.io.text import read_lines

__all__ = ["CNCELEB1", "CNCELEB2"]


def _scan_cnceleb(corpus: str) -> Scan:
    """CN-Celeb: ``data/SPEAKER/GENRE-SESSION-NUMBER.flac``; the genre is the session.

    CN-Celeb 1 has the evaluation's speakers in there too: only those of ``dev/dev.lst`` are taken.
    """

    def scan(root: Path) -> Iterator[Utterance | AudioError]:
        listed = root / "dev" / "dev.lst"
        if not (root / "data").is_dir() or (corpus == "cnceleb1" and not listed.is_file()):
            return
        kept = None
        if corpus == "cnceleb1":
            kept = {line for _, line in read_lines(listed, "a list of speakers")}
        for row in utterances_below(root / "data", corpus, {".flac", ".wav"}, kept):
            if isinstance(row, AudioError):
                yield row
                continue
            genre = Path(row.path).name.partition("-")[0]
            yield Utterance(row.utterance, row.speaker, genre, row.path, corpus)

    return scan


CNCELEB1 = Corpus(
    _scan_cnceleb("cnceleb1"),
    ("dev/dev.lst", "data/SPEAKER/GENRE-SESSION-NUMBER.flac"),
    folder="CN-Celeb_flac",
    size="274 h, 1,000 speakers; of these the 800 of the development set",
    license="CC BY-SA 4.0",
    page="https://www.openslr.org/82",
)
CNCELEB2 = Corpus(
    _scan_cnceleb("cnceleb2"),
    ("data/SPEAKER/GENRE-SESSION-NUMBER.flac",),
    folder="CN-Celeb2_flac",
    size="1,090 h, 2,000 speakers",
    license="CC BY-SA 4.0",
    page="https://www.openslr.org/82",
)
