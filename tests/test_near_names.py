"""Suggestions for missing files."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbral.io.near_names import beside


def test_a_suffix_alone_is_no_likeness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a suggestion is written like what was given."""
    (tmp_path / "models").mkdir()
    for name in ("fp32.onnx", "int8.onnx"):
        (tmp_path / "models" / name).touch()
    there = tmp_path / "models"
    assert beside(there / "nosuch.onnx") == f"; in {there}: fp32.onnx, int8.onnx"
    assert beside(there / "fp23.onnx") == f"; did you mean {there / 'fp32.onnx'}?"
    assert beside(there / "fp32.pt") == f"; did you mean {there / 'fp32.onnx'}?"
    monkeypatch.chdir(tmp_path)
    assert beside(Path("models/fp23.onnx")) == "; did you mean models/fp32.onnx?"
    assert beside(Path("models/none/fp23.onnx")).startswith("; in ")
    assert beside(Path("model/fp23.onnx")) == "; did you mean models?"
    assert beside(Path("model/fp32.onnx")) == "; did you mean models/fp32.onnx?"
    assert beside(Path("MODELS/FP32.ONNX")) == "; did you mean models?"
    assert beside(Path("MODELS/fp32.onnx")) == "; did you mean models/fp32.onnx?"
    assert beside(Path("models/FP32.ONNX")) == "; did you mean models/fp32.onnx?"
