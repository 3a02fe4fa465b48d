"""Lists read as arrays of bytes against lists read line by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from timbral.scoring.regular_file import read_regular_columns
from timbral.scoring.trial_list import read_trial_list
from timbral.scoring.word_table import FACTORS, LANE, OddWordsError, WordTable


def columns_of(path: Path, counts: tuple[int, ...] = (2, 3)) -> list[list[str]] | None:
    columns = read_regular_columns(path, counts)
    return None if columns is None else [column.to_pylist() for column in columns]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [" ", "\t"])
@pytest.mark.parametrize("block", [64, 1000, 2**20])
def test_words_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, delimiter: str, line_end: str
) -> None:
    monkeypatch.setattr("timbral.scoring.regular_file.BLOCK_BYTES", block)
    rng = np.random.default_rng(block)
    known = ["é" * (n % 40) + "x" * (n % 7) + str(n) for n in range(300)] + ["a", "aa", "b\x01"]
    rows = [[known[i] for i in rng.integers(0, len(known), 3)] for _ in range(900)]
    text = line_end.join(delimiter.join(row) for row in rows)
    for end in ("", line_end):
        (tmp_path / "list.txt").write_bytes((text + end).encode())
        assert columns_of(tmp_path / "list.txt") == [list(each) for each in zip(*rows, strict=True)]
    found = read_regular_columns(tmp_path / "list.txt", (3,))
    assert found is not None
    for column, words in zip(found, zip(*rows, strict=True), strict=True):
        assert column.dictionary.to_pylist() == list(dict.fromkeys(words)), "as they come"


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "1 a b\n\n1 a c\n", "1 a b\n1 a\n", "1 a b\n1 a b c\n", "1  a b\n", "1 a b \n",
        " 1 a b\n", "# 1 a\n", "1 a b\n# a b\n", "1 a b\r\n1 a c\n", "1 a b\n1 a c\r\n", "a\nb\n",
        f"1 a {'b' * 600}\n", "1 a b\n1 a \x00\xff\n", "1 a b\n1 a\nb 1 a c\n",
    ],
)  # fmt: skip
def test_other_files_are_left_to_others(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_bytes(text.encode("latin-1"))
    columns = columns_of(tmp_path / "list.txt")
    assert columns is None or "\r" in columns[-1][-1]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("\ufeff1 a b\n0 a c\n", ["a", "b", "c"]),
        ("1 a b\n0 a\tc d\n", None),
        ("1 a b\r\n0 a c\r\n", ["a", "b", "c"]),
        ("1\ta b\tc\n0\ta b\td\n", ["a b", "c", "d"]),
        ('1 a "b\n0 a c\n', ["a", '"b', "c"]),
    ],
)
def test_lists_read_either_way(tmp_path: Path, text: str, names: list[str] | None) -> None:
    (tmp_path / "list.txt").write_bytes(text.encode())
    if names is None:
        with pytest.raises(Exception, match=r"list\.txt:2"):
            read_trial_list(tmp_path / "list.txt")
    else:
        assert read_trial_list(tmp_path / "list.txt").names.to_pylist() == names


def test_table_grows_and_words_keep_their_numbers() -> None:
    rng = np.random.default_rng(0)
    table = WordTable()
    of: dict[bytes, int] = {}
    for size in (1, 10, 1000, 100_000, 50_000):
        words = np.char.zfill(rng.integers(0, 60_000, size).astype("S8"), LANE)
        numbers = table.number(words.view("<u8")[None], np.full(size, LANE, np.int32))
        expected = [of.setdefault(word, len(of)) for word in words.tolist()]
        assert numbers.tolist() == expected
    assert len(table) == len(of)
    assert table.words().cast(pa.binary()).to_pylist() == list(of)


def test_words_made_to_collide_are_refused() -> None:
    inverse = pow(int(FACTORS[1]), -1, 2**64)
    first = np.arange(1, 3001, dtype=np.uint64)
    second = np.array([-int(f) * int(FACTORS[0]) * inverse % 2**64 for f in first], np.uint64)
    lanes = np.stack((first, second))
    with pytest.raises(OddWordsError, match="share"):
        WordTable().number(lanes, np.full(3000, 2 * LANE, np.int32))
