"""A user without home folder and passwd entry, and packages that nobody may write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timbral import api
from timbral.data.prepared.store import Store
from timbral.errors import DataError

AS_IN_A_CONTAINER = """
import os, pwd, tempfile

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

def is_closed(path):
    return "/site-packages/" in os.fspath(path) or os.fspath(path).startswith("~")

def refuse(function):
    def called(*given, **named):
        if any(is_closed(path) for path in (*given[:1], named.get("dir", ""))):
            raise PermissionError(13, "Permission denied")
        return function(*given, **named)
    return called

pwd.getpwuid = unknown
os.makedirs, tempfile.TemporaryFile = refuse(os.makedirs), refuse(tempfile.TemporaryFile)
from timbral.plots.projection import _umap
print(_umap().UMAP.__name__)
"""
HOME_NAMES = ("HOME", "XDG_CACHE_HOME", "TIMBRAL_CACHE", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")


@pytest.mark.slow  # numba compiles again
def test_umap_in_a_container(tmp_path: Path) -> None:
    """Its numba looks for a folder of its own when it is imported."""
    environment = {name: value for name, value in os.environ.items() if name not in HOME_NAMES}
    imported = subprocess.run(
        [sys.executable, "-c", AS_IN_A_CONTAINER],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert imported.stdout == "UMAP\n", imported.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_downloads_need_a_home_folder(
    store: Store, small_config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in HOME_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    config = small_config(steps=1)
    api.train(config, store.folder, tmp_path / "r", validation_speakers="0", device="cpu")
    assert not any(model.downloaded for model in api.models() if not model.is_shipped)
    with pytest.raises(DataError, match="TIMBRAL_CACHE"):
        api.download("campplus-zh-en")
