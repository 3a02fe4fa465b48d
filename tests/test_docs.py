"""Every Python snippet of docs/python.md runs, top to bottom, with the names of those before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from timbral.demo.shipped import VOICES

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
PUBLISHED = '"campplus-zh-en", download=True'


def test_python_page(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small run stands for the published encoder, which a test cannot download."""
    for voice in ("am_adam", "am_eric", "af_alloy", "af_bella", "bf_emma", "bm_george"):
        (tmp_path / "voices" / voice).mkdir(parents=True)
        for path in sorted((VOICES / voice).glob("*.ogg")):
            (tmp_path / "voices" / voice / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert PUBLISHED in PAGE
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        exec(snippet.replace(PUBLISHED, repr(str(run))), names)
    assert names["vectors"].shape == (2, 16)  # type: ignore[attr-defined]
    assert names["cosines"].shape == (2, 2)  # type: ignore[attr-defined]
    assert names["table"].num_rows == 6  # type: ignore[attr-defined]
    assert names["report"].step == 20  # type: ignore[attr-defined]
