"""The command that installs what is missing works where timbral was installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Ask
from timbral.installation import CHECKOUT, install_command, is_installed, packages_of
from timbral.io.cores import usable_cores

REQUIREMENTS = ["numpy>=2", "av>=14; extra == 'ffmpeg'", 'b[c]>=1,<2 ; extra == "odd-name"']


@pytest.fixture(autouse=True)
def requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIREMENTS)


def test_packages_are_named_themselves() -> None:
    """An index that knows no timbral, or an older one, gives them all the same."""
    assert packages_of("ffmpeg") == ["av>=14"]
    assert packages_of("odd-name") == ["b[c]>=1,<2"]
    assert packages_of("none") == []
    words = shlex.split(install_command("odd-name"))
    assert words == [sys.executable, "-m", "pip", "install", "b[c]>=1,<2"]


def test_whether_an_extra_is_installed(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    assert not is_installed("odd-name")  # no package b is there
    there = {"av": "14", "b": "1"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: there[name])
    assert is_installed("odd-name")
    assert is_installed("ffmpeg")
    monkeypatch.setattr("timbral.installation.is_installed", lambda extra: False)
    monkeypatch.setattr("timbral.installation.install_command", lambda extra: f"get {extra}")
    assert ask("models").out.endswith("\ntimbral[hub] is not installed: get hub\n")


def test_pipx_gets_its_own_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "timbral"))
    (tmp_path / "timbral").mkdir()
    (tmp_path / "timbral" / "pipx_metadata.json").write_text("{}")
    assert install_command("ffmpeg") == "pipx inject timbral 'av>=14'"


def test_where_no_pip_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    expected = f"uv pip install --python {shlex.quote(sys.executable)} 'av>=14'"
    assert install_command("ffmpeg") == expected


def test_run_from_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", refuse)
    assert shlex.split(install_command("vad"))[-2:] == ["-e", f"{CHECKOUT}[vad]"]
    assert (CHECKOUT / "pyproject.toml").is_file()


def test_every_extra_has_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for extra in ("map", "vad", "ffmpeg", "hub", "lora", "onnx", "export", "serve", "gallery"):
        assert packages_of(extra), extra


def test_macos_counts_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == os.cpu_count()


def test_windows_is_told_to_who_imports() -> None:
    """Python's own words would be that there is no module fcntl."""
    code = "import sys; sys.modules['fcntl'] = None; import timbral.data.sources"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: timbral runs on Linux and macOS; on Windows run it in WSL"
    )


def test_windows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from timbral import __main__

    monkeypatch.setattr(__main__.os, "name", "nt")
    with pytest.raises(SystemExit, match="on Windows run it in WSL"):
        __main__.main()
