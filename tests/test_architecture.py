"""The house rules that a machine can hold: layers, lengths, public names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import timbral

SOURCE = Path(timbral.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

# From the top down: a module imports only from its own package and from packages below it.
PACKAGES = [
    ["cli"],
    ["demo", "serving"],
    ["compat"],
    ["api"],
    ["evaluation", "cloning"],
    ["reports"],
    ["gallery"],
    ["training"],
    ["exporting"],
    ["bulk"],
    ["scoring"],
    ["inference"],
    ["calibration"],
    ["checkpoints"],
    ["embeddings"],
    ["plots"],
    ["config"],
    ["data"],
    ["encoders", "losses"],
    ["audio"],
    ["io"],
    ["errors", "version"],
    ["installation"],
]
RANK = {name: -rank for rank, row in enumerate(PACKAGES) for name in row}


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "cli"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("timbral"):
            if node.module == "timbral":
                yield from (f"timbral.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("timbral"))


def module_name(path: Path) -> str:
    parts = ("timbral", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_only_down(path: Path) -> None:
    if path.name in ("__main__.py",) or path == SOURCE / "__init__.py":
        return
    own = layer_of(module_name(path))
    for imported in imports(path):
        other = layer_of(imported)
        allowed = own == other or RANK[other] < RANK[own]
        assert allowed, f"{own} must not import {other}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if ast.get_docstring(node) is not None:  # a verb explains each of its arguments
                lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
            assert lines <= 50, f"{node.name} has {lines} lines"


def test_no_two_modules_share_a_name() -> None:
    """Except a verb and what it runs, and one format or project in each package that reads it."""
    shared = {"__init__", "base", "registry", "ddvc", "paddlespeech", "kaldi"}
    names = [path.stem for path in MODULES if path.parent.name != "verbs"]
    assert {name for name in names if names.count(name) > 1} <= shared


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_public_names_are_sorted_and_exist(path: Path) -> None:
    if path.name == "__main__.py":
        return
    module = importlib.import_module(module_name(path))
    names = getattr(module, "__all__", [])
    kinds = {name: 0 if name.isupper() else 1 if name[0].isupper() else 2 for name in names}
    assert list(names) == sorted(names, key=lambda name: (kinds[name], name))
    for name in names:
        assert hasattr(module, name)


def test_import_is_light() -> None:
    """`import timbral` and `timbral --help` do not wait for torch."""
    import subprocess
    import sys

    code = "import sys, timbral, timbral.cli.main; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
