"""Files are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbral.errors import DataError
from timbral.io.files import atomic_write, read_json, write_json, write_jsonl


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    write_json(path, {"ü": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"ü": 1}
    assert [item.name for item in path.parent.iterdir()] == ["x.json"]


def test_reading_mistakes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="not readable JSON"):
        read_json(tmp_path / "bad.json")


def test_jsonl(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"a": 1}, {"b": "ü"}])
    assert (tmp_path / "x.jsonl").read_text("utf-8") == '{"a": 1}\n{"b": "ü"}\n'
