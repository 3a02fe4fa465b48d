"""onnxruntime sends nothing when timbral runs it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import timbral
from timbral.io.onnxruntime_import import NO_TELEMETRY, import_onnxruntime


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_it_is_asked_to_send_nothing(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NO_TELEMETRY, given or "")
    if given is None:
        monkeypatch.delenv(NO_TELEMETRY)
    assert import_onnxruntime().__name__ == "onnxruntime"
    assert os.environ[NO_TELEMETRY] == expected


def test_nothing_else_imports_it() -> None:
    root = Path(timbral.__file__).parent
    imports = re.compile(r"^\s*(import|from) onnxruntime\b", re.M)
    found = [path for path in root.rglob("*.py") if imports.search(path.read_text("utf-8"))]
    assert [path.name for path in found] == ["onnxruntime_import.py"]
