"""By which columns a voice map can be colored."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from timbral.reports.map_columns import map_columns


def test_columns_with_few_values_and_ranges_of_numbers(tmp_path: Path) -> None:
    count = 100
    table = pa.table(
        {
            "utterance": [f"u{row}" for row in range(count)],
            "speaker": ["a", "b"] * (count // 2),
            "session": ["one", ""] * (count // 2),
            "cluster": [-1, 10, 2, 3] * (count // 4),
            "confidence": [None, *[row / count for row in range(1, count)]],
            "encoder": ["e"] * count,
            "file": [f"f{row}" for row in range(count)],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "utterances.parquet")
    found = {column.name: column for column in map_columns(tmp_path)}
    assert set(found) == {"session", "cluster", "confidence"}
    assert found["session"].values == ["none", "one"]
    assert found["session"].codes[:2] == [1, 0]
    assert found["cluster"].values == ["-1", "2", "3", "10"]
    assert len(found["confidence"].values) == 6
    assert found["confidence"].values[found["confidence"].codes[0]] == "none"
    counts = [found["confidence"].codes.count(code) for code in range(5)]
    assert max(counts) - min(counts) <= 2


def test_a_file_that_cannot_be_read_gives_no_columns(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_text("no table")
    assert map_columns(tmp_path / "labels.parquet") == []
