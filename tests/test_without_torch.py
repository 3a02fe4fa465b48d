"""Exported models where torch is not installed: every verb that takes an encoder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import timbral
from conftest import SMALL
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS
from timbral.exporting import parity
from timbral.exporting.export_encoder import export
from timbral.inference.embedder import Embedder

SCRIPT = """
import shlex
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, NoTorch())
from timbral.cli.main import run

for line in sys.stdin:
    sys.argv = ["timbral", *shlex.split(line)]
    print(">", line.strip(), run(), flush=True)
"""
"""answers each line of standard input, a command, with its exit code"""


def without_torch(folder: Path, *commands: str) -> tuple[list[int], str]:
    """The exit codes of commands in one process, and what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(commands),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("> ")]
    return [int(line.rsplit(maxsplit=1)[1]) for line in lines], done.stderr


@pytest.fixture(scope="module")
def plain() -> Embedder:
    torch.manual_seed(0)
    return Embedder(ENCODERS["tdnn"](SMALL["tdnn"]), threshold=0.4)


@pytest.fixture(scope="module")
def folder(plain: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model, voices and trials."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "LONGEST_SECONDS", 1.0)
        patch.setattr(parity, "NUM_LENGTHS", 1)
        export(plain, folder / "enc.onnx")
    for voice in ("am_adam", "am_eric"):
        (folder / "voices" / voice).mkdir(parents=True)
        for number, path in enumerate(sorted((VOICES / voice).glob("*.ogg"))[:3]):
            shutil.copy(path, folder / "voices" / voice / f"{number}.ogg")
    lines = ("1 am_adam/0.ogg am_adam/1.ogg", "0 am_adam/0.ogg am_eric/0.ogg")
    (folder / "trials.txt").write_text("\n".join(lines) + "\n")
    (folder / "pairs.txt").write_text("voices/am_adam/0.ogg voices/am_adam/1.ogg\n")
    return folder


def test_verbs_need_no_torch(plain: Embedder, folder: Path) -> None:
    codes, errors = without_torch(
        folder,
        "embed enc.onnx voices --output vectors",
        "evaluate enc.onnx trials.txt --root voices --output report",
        "score vectors trials.txt --root voices --output scores.txt",
        "check voices/am_adam/0.ogg --encoder enc.onnx",
        "verify enc.onnx voices/am_adam/0.ogg voices/am_adam/1.ogg",
        "enroll g.db adam voices/am_adam/0.ogg voices/am_adam/1.ogg --encoder enc.onnx --force",
        "identify g.db voices/am_adam/2.ogg --encoder enc.onnx",
        "gallery list g.db",
        "gallery check g.db",
        "speakers vectors --output speakers.parquet",
        "cluster vectors --output clusters.parquet",
        "audit vectors",
        "similarity enc.onnx pairs.txt --output clones",
    )
    assert codes == 13 * [0], errors
    table = pq.read_table(folder / "vectors" / "utterances.parquet")
    rows = zip(table["utterance"].to_pylist(), table["embedding"].to_pylist(), strict=True)
    for name, vector in rows:
        expected = plain.encode(folder / "voices" / f"{name}.ogg")
        np.testing.assert_allclose(vector, expected, atol=1e-4)


def test_what_needs_torch_says_so(folder: Path) -> None:
    codes, errors = without_torch(
        folder,
        "verify voices/am_adam/0.ogg voices/am_adam/1.ogg",
        "train tdnn-ge2e-small --data voices --output run",
    )
    assert codes == [2, 2]
    first, second = (line for line in errors.splitlines() if line.startswith("error:"))
    assert first.startswith("error: campplus-int8: needs torch, which is not installed")
    assert second == "error: timbral train: needs torch here, which is not installed; install it"


def test_windows_come_without_torch(folder: Path) -> None:
    """The Python of docs, in a process that has no torch."""
    code = SCRIPT.partition("from timbral")[0] + (
        "import timbral, numpy as np, sys\n"
        "encoder = timbral.load_encoder('enc.onnx')\n"
        "wave = encoder.load_audio('voices/am_adam/0.ogg')\n"
        "stream = encoder.window_stream(seconds=0.5, step=0.5)\n"
        "given = [stream.push(chunk)[1] for chunk in np.array_split(wave, 7)]\n"
        "given.append(stream.close()[1])\n"
        "whole = encoder.encode_windows(wave, 0.5, 0.5)[1]\n"
        "assert np.abs(np.concatenate(given) - whole).max() < 1e-6\n"
        "print(encoder, encoder.device)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cpu fp32" in done.stdout
    assert timbral.load_encoder(folder / "enc.onnx").device == torch.device("cpu")
