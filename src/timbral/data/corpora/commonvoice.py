"""Common Voice: volunteers in many languages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.corpus_files import absolute_path
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError
from timbral.io.text import open_text

__all__ = ["COMMON_VOICE"]

BATCH_ROWS = 8192


def _scan_commonvoice(root: Path) -> Iterator[Utterance | AudioError]:
    """Common Voice: ``[RELEASE/][LANGUAGE/]validated.tsv`` beside ``clips/``.

    The speaker is the ``client_id``, and a line without one is a failure; only clips that listeners
    validated are taken. The other columns, such as age, gender and accents, go with them.
    """
    lists = [path for depth in ("", "*/", "*/*/") for path in root.glob(f"{depth}validated.tsv")]
    for tsv in sorted(lists):
        try:
            table = pa.csv.read_csv(
                tsv,
                parse_options=pa.csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(_header(tsv), pa.string())
                ),
            )
            rows = zip(table["client_id"], table["path"], _others(table), strict=True)
        except (pa.ArrowInvalid, KeyError) as error:
            raise DataError(f"{tsv}: cannot be read as Common Voice's list ({error})") from None
        clips = absolute_path(tsv.parent / "clips")
        for number, (client, name, others) in enumerate(rows, start=2):
            path = f"{clips}/{name}"
            if client.as_py() and name.as_py():
                yield Utterance(
                    Path(path).stem, client.as_py(), "", path, "commonvoice", further=others
                )
            else:
                missing = "path" if client.as_py() else "client_id"
                yield AudioError(f"{tsv}:{number}", f"has no {missing}", "bad-line")


def _header(tsv: Path) -> list[str]:
    with open_text(tsv) as file:
        return file.readline().rstrip("\r\n").split("\t")


def _others(table: pa.Table) -> Iterator[dict[str, str | None]]:
    """The further columns of each row, made one by one."""
    names = [name for name in table.column_names if name not in ("client_id", "path")]
    for batch in table.select(names).to_batches(max_chunksize=BATCH_ROWS):
        yield from batch.to_pylist()


COMMON_VOICE = Corpus(
    _scan_commonvoice,
    (
        "[RELEASE/][LANGUAGE/]validated.tsv",
        "[RELEASE/][LANGUAGE/]clips/UTTERANCE.mp3 beside it",
    ),
    folder="CommonVoice",
    size="by language and release",
    license="CC0-1.0",
    page="https://commonvoice.mozilla.org/datasets",
)
