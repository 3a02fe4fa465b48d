"""Files are whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from timbral.errors import DataError
from timbral.io.cache import cache_folder
from timbral.io.files import atomic_folder, atomic_write, read_json, write_json, write_jsonl


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
    for content in ("{", "[" * 5_000, '{"a":' * 5_000):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(DataError, match="not readable JSON"):
            read_json(tmp_path / "bad.json")


def test_a_line_of_jsonl_for_each_row(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x.jsonl", [{"a": 1}, {"b": "ü"}])
    assert (tmp_path / "x.jsonl").read_text("utf-8") == '{"a": 1}\n{"b": "ü"}\n'


def test_files_of_several_writers_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with atomic_write(path) as one:
        with atomic_write(path) as other:
            one.write_text("one")
            other.write_text("other")
            assert one != other
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert [item.name for item in tmp_path.iterdir()] == ["x.txt"]


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".x.txt.timbral-tmp").write_text("much longer than what is written now")
    with atomic_write(tmp_path / "x.txt") as temporary, open(temporary, "r+b") as file:
        file.write(b"whole")
    assert (tmp_path / "x.txt").read_text() == "whole"
    (tmp_path / ".folder.writing").mkdir()
    (tmp_path / ".folder.writing" / "half").touch()
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "whole").touch()
    assert [item.name for item in (tmp_path / "folder").iterdir()] == ["whole"]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "x.txt"]


def test_long_names_can_be_written(tmp_path: Path) -> None:
    name = "字" * 83 + ".wav"  # 253 bytes
    write_json(tmp_path / name, 1)
    assert [item.name for item in tmp_path.iterdir()] == [name]
    (tmp_path / name).unlink()
    for content in "ab":  # the second one replaces the first
        with atomic_folder(tmp_path / name) as folder:
            (folder / content).touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [name, f"{name}/b"]


def test_a_folder_is_whole_or_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for content in ("one", "two"):
        with atomic_folder(folder) as temporary:
            (temporary / "x").write_text(content)
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "x").write_text("half")
        raise RuntimeError
    assert (folder / "x").read_text() == "two"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), atomic_folder(tmp_path / "file"):
        pass


WRITE = """
import sys
from pathlib import Path
from timbral.io.cache import cache_folder
from timbral.io.files import atomic_folder, write_json
folder, content = Path(sys.argv[1]), sys.argv[2]
for number in range(40):
    write_json(folder / "file.json", [content] * 1000)
    with atomic_folder(folder / "same") as temporary:
        (temporary / "x").write_text("same" * 1000)
    with atomic_folder(folder / "different") as temporary:
        (temporary / "x").write_text(content * 1000)
        (temporary / "y").write_text(content * 1000)
"""


def test_four_processes_write_the_same_paths(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    processes = [subprocess.Popen([*command, name]) for name in "abcd"]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(set(read_json(tmp_path / "file.json"))) == 1
    one, other = ((tmp_path / "different" / name).read_text() for name in "xy")
    assert one == other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["different", "file.json", "same"]


def test_user_without_a_home_folder_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("TIMBRAL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(DataError, match="TIMBRAL_CACHE"):
        cache_folder()
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
