"""Benchmarks and recipes are run by hand; that what they import is still there is held here."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted(ROOT.glob("benchmarks/[a-z]*.py")), *sorted(ROOT.glob("recipes/*/*.py"))]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(path.parent))
    content = runpy.run_path(str(path), run_name="imported")
    assert "main" in content or is_imported(path)


def is_imported(path: Path) -> bool:
    """By a script beside it: what several scripts share."""
    others = [other for other in path.parent.glob("*.py") if other != path]
    return any(f"\nfrom {path.stem} import " in other.read_text("utf-8") for other in others)
