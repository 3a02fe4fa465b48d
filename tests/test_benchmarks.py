"""Benchmarks and recipes are run by hand; that what they import is still there is held here."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from timbral.encoders.registry import ENCODERS

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted(ROOT.glob("benchmarks/[a-z]*.py")), *sorted(ROOT.glob("recipes/**/*.py"))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_all_that_a_script_imports_exists(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    content = runpy.run_path(str(path), run_name="imported")
    assert "main" in content or is_imported(path)


def is_imported(path: Path) -> bool:
    """By a script beside it: what several scripts share."""
    others = [other for other in path.parent.glob("*.py") if other != path]
    return any(f"\nfrom {path.stem} import " in other.read_text("utf-8") for other in others)


def test_gpu_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must be right on the first machine that has a GPU."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    content = runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="imported")
    sections = [name for name in content["SECTIONS"] if name != "processes"]
    output = tmp_path / "gpu.json"
    words = ["--toy", "--device", "cpu", "--output", str(output), "--only", *sections]
    content["main"](words)
    rows = json.loads(output.read_text("utf-8"))["rows"]
    assert {row["section"] for row in rows} == set(sections)
    assert not [row for row in rows if "not measured" in row]
    exact = [row for row in rows if row["section"] == "parity" and row["precision"] == "fp32"]
    assert len(exact) == len(ENCODERS)
    assert all(row["largest difference"] < 1e-5 for row in exact)
