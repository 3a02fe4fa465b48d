"""Tables of prepared data that are damaged, or of another program, say so when they are opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.errors import DataError


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Path:
    shutil.copytree(store.folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("speaker", None, "needs exactly one column speaker"),
        ("start", None, "needs exactly one column start"),
        ("speaker", [None], "column speaker has rows without a value"),
        ("speaker", [["a"]], "column speaker is list<.*>, not string"),
        ("samples", ["many"], "column samples is string, not int64"),
        ("start", [-1], "column start contains impossible numbers"),
        ("shard", [2**60], "column shard contains impossible numbers"),
        ("shard", [2**40], "its table refers to shard 1099511627776"),
        ("shard", [3], r"00003\.arrow: is missing"),
    ],
)
def test_unusable_columns_are_errors(
    copy: Path, column: str, values: list[Any] | None, words: str
) -> None:
    path = copy / "utterances.parquet"
    table = pa.parquet.read_table(path)
    number = table.column_names.index(column)
    table = table.remove_column(number)
    if values is not None:
        table = table.append_column(column, pa.array(values * table.num_rows))
    pa.parquet.write_table(table, path)
    with pytest.raises(DataError, match=words):
        open_prepared(copy)


def test_damaged_files_are_errors(copy: Path, voices: Path) -> None:
    path = copy / "utterances.parquet"
    whole = path.read_bytes()
    for damaged in (b"", b"no table", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"utterances\.parquet: cannot be read as Parquet"):
            open_prepared(copy)
    path.write_bytes(whole)
    shard = copy / "shards" / "00000.arrow"
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"00000\.arrow: has .* an even number"):
        open_prepared(copy)


def test_unusable_totals_are_errors(copy: Path, voices: Path) -> None:
    path = copy / "store.json"
    content = json.loads(path.read_text("utf-8"))
    for totals, words in (
        (None, "should contain `totals` of failures, hours"),
        ({**content["totals"], "hours": "9"}, "hours should be a number, got '9'"),
    ):
        path.write_text(json.dumps({**content, "totals": totals}), "utf-8")
        with pytest.raises(DataError, match=words):
            prepare(voices, copy)


@pytest.mark.parametrize("format", ["arrow", "npy", "flac"])
@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_lost_files_are_prepared_again(
    voices: Path, tmp_path: Path, format: str, lose: Callable[[Path], None]
) -> None:
    """As the error of a training says that needs them."""
    for voice in sorted(voices.iterdir())[:2]:
        shutil.copytree(voice, tmp_path / "corpus" / voice.name)
    data = tmp_path / "data"
    prepare(tmp_path / "corpus", data, format=format)
    whole = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    lost = next(path for path in whole if path.suffix == f".{format}")
    lose(lost)
    assert not prepare(tmp_path / "corpus", data, format=format).reused
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == whole
    assert prepare(tmp_path / "corpus", data, format=format).reused
    (data / "utterances.parquet").write_bytes(b"no table")
    assert not prepare(tmp_path / "corpus", data, format=format).reused
    (data / "store.json").unlink()
    assert not prepare(tmp_path / "corpus", data, format=format).reused
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == whole


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_list_of_sources_is_written_again(
    voices: Path, tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    """The mels beside it are kept."""
    for voice in sorted(voices.iterdir())[:2]:
        shutil.copytree(voice, tmp_path / "corpus" / voice.name)
    data = tmp_path / "data"
    prepare(tmp_path / "corpus", data, format="npy")
    lost = min(data.glob("*/_sources.txt"))
    content = lost.read_bytes()
    lose(lost)
    assert prepare(tmp_path / "corpus", data, format="npy").reused
    assert lost.read_bytes() == content


def test_a_lost_list_of_failures_is_written_again(voices: Path, tmp_path: Path) -> None:
    voice = shutil.copytree(min(voices.iterdir()), tmp_path / "corpus" / "voice")
    (voice / "broken.wav").write_bytes(b"no audio")
    data = tmp_path / "data"
    prepare(tmp_path / "corpus", data)
    failures = (data / "failures.jsonl").read_bytes()
    assert b"broken.wav" in failures
    (data / "failures.jsonl").unlink()
    assert not prepare(tmp_path / "corpus", data).reused
    assert (data / "failures.jsonl").read_bytes() == failures


def test_without_their_plan_data_are_not_replaced(voices: Path, copy: Path) -> None:
    (copy / "plan.json").unlink()
    table = (copy / "utterances.parquet").read_bytes()
    with pytest.raises(DataError, match=r"has lost its plan\.json"):
        prepare(voices, copy)
    assert (copy / "utterances.parquet").read_bytes() == table


def test_without_the_times_of_recordings_all_are_compared(voices: Path, tmp_path: Path) -> None:
    voice = shutil.copytree(min(voices.iterdir()), tmp_path / "corpus" / "voice")
    first, second = sorted(voice.iterdir())[:2]
    data = tmp_path / "data"
    prepare(tmp_path / "corpus", data)
    times = (data / "recordings.parquet").read_bytes()
    (data / "recordings.parquet").unlink()
    assert prepare(tmp_path / "corpus", data).reused
    assert (data / "recordings.parquet").read_bytes() == times
    (data / "recordings.parquet").unlink()
    other = second.read_bytes().ljust(first.stat().st_size, b"\0")[: first.stat().st_size]
    first.write_bytes(other)
    with pytest.raises(DataError, match="was prepared from another recording"):
        prepare(tmp_path / "corpus", data)
