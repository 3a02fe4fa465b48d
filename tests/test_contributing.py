"""What CONTRIBUTING.md says is true: its recipes are done to a copy of the sources and used there.

Run as a script, with the copy on PYTHONPATH, this file uses what the recipes added.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import timbral
from timbral.config.yaml import from_mapping
from timbral.data.corpora.scanning import scan_corpus
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
RECIPES = ("An encoder", "A loss", "A corpus", "A list format", "A vector format")
CALLS, UTTERANCES = 3, 4
"""of the small corpus: calls of each speaker, and utterances of a speaker in a call"""


def blocks(heading: str) -> list[str]:
    """The fenced blocks of Python below a heading."""
    section = TEXT.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, flags=re.M | re.S)


def apply_recipe(heading: str, root: Path) -> None:
    """One new file; in the file of the dict an import and a line."""
    new_file, registration = blocks(heading)
    first, code = new_file.split("\n", 1)
    target = root / first.removeprefix("# ")
    assert target.parent.is_dir()
    assert not target.exists()
    target.write_text(code)
    found = re.fullmatch(
        r"# in (\S+)\n(from .+)\n\n([A-Z_]+) = \{\n(    \".+,\n)\}\n", registration
    )
    assert found, registration
    path, imported, name, line = found.groups()
    registry = (root / path).read_text("utf-8")
    opening = re.search(rf"^{name}: dict\[.*\] = {{\n", registry, flags=re.M)
    assert opening, name
    registry = registry[: opening.end()] + line + registry[opening.end() :]
    start = "from __future__ import annotations\n\n"
    (root / path).write_text(registry.replace(start, f"{start}{imported}\n", 1))


def test_recipes_work(tmp_path: Path) -> None:
    source = ROOT / "src" / "timbral"
    copy = tmp_path / "src" / "timbral"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("voices", "__pycache__"))
    (copy / "demo" / "voices").symlink_to(source / "demo" / "voices")
    for heading in RECIPES:
        apply_recipe(heading, tmp_path)
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "work")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(copy)


def test_every_package_is_in_the_table() -> None:
    rows = re.findall(r"^\| `([\w./]+)` \| .* \| `([\w./]+)` \|$", TEXT, flags=re.M)
    source = ROOT / "src" / "timbral"
    packages = {f"{folder.parent.name}/" for folder in source.glob("*/__init__.py")}
    assert {package for package, _ in rows} == {*packages, "api.py"}
    assert [path for _, path in rows if not (source / path).is_file()] == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)+[\w.]*)`", TEXT))))
def test_paths_exist(path: str) -> None:
    assert any((above / path).exists() for above in (ROOT, ROOT / "src" / "timbral"))


def use_encoder() -> None:
    """Shapes of the contract; padding does not affect the vectors."""
    torch.manual_seed(0)
    encoder = ENCODERS["mlp"](ENCODERS["mlp"].tiny_config).eval()
    lengths = torch.tensor([16_000, 9_000, 4_321])
    waves = torch.full((3, 30_000), torch.nan)
    for row, length in enumerate(lengths.tolist()):
        waves[row, :length] = 0.1 * torch.randn(length)
    with torch.no_grad():
        features, frames = encoder.features(waves, lengths)
        assert features.shape[0] == len(frames) == 3
        together = functional.normalize(encoder.embed_features(features, frames))
        for row, length in enumerate(lengths.tolist()):
            alone = functional.normalize(encoder(waves[row : row + 1, :length], lengths[row, None]))
            assert (alone - together[row]).abs().max() <= 1e-5


def make_calls(root: Path) -> int:
    """Shipped utterances of four speakers as CALL/SPEAKER-TURN.ogg; returns their number."""
    number = 0
    for folder in sorted(VOICES.glob("*/"))[:4]:
        for place, path in enumerate(sorted(folder.glob("*.ogg"))[: CALLS * UTTERANCES]):
            call = root / f"call{place % CALLS}"
            call.mkdir(parents=True, exist_ok=True)
            (call / f"{folder.name}-{place}.ogg").symlink_to(path)
            number += 1
    return number


def use_corpus_and_list(calls: Path, total: int, work: Path) -> None:
    rows = scan_corpus("calls", calls)
    assert len(rows) == total
    assert {row.session for row in rows} == {"call0", "call1", "call2"}
    summary = timbral.prepare(calls, work / "data", layout="calls")
    assert (summary.num_utterances, summary.num_speakers, summary.num_failures) == (total, 4, 0)
    written = timbral.export_list(calls, work / "files.txt", format="vits", layout="calls")
    assert written == (total, 0)
    lines = [line.split("|") for line in (work / "files.txt").read_text().splitlines()]
    assert [path for path, _ in lines] == [row.path for row in rows]
    assert {number for _, number in lines} == {"0", "1", "2", "3"}


def use_loss(work: Path) -> None:
    """Two steps of training with the new encoder and the new loss."""
    settings = {
        "encoder": {"name": "mlp", "channels": 16, "embedding_dim": 8},
        "loss": {"name": "triplet", "margin": 0.3},
        "data": {"speakers_per_batch": 3, "utterances_per_speaker": 2, "crop_seconds": 0.5},
        "schedule": {"steps": 2},
    }
    config = from_mapping(timbral.TrainConfig, settings, "config")
    timbral.train(config, work / "data", work / "run", validation_speakers=0, device="cpu")
    last = (work / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 2


def use_vector_format(calls: Path, total: int, work: Path) -> None:
    """`timbral embed` takes the name."""
    from timbral.cli.main import main

    output = work / "embeddings"
    words = ["embed", work / "run", calls, "--layout", "calls", "--format", "projector"]
    sys.argv = ["timbral", *map(str, words), "--output", str(output), "--device", "cpu"]
    sys.argv += ["--workers", "1"]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    vectors = np.loadtxt(output / "vectors.tsv", delimiter="\t")
    assert vectors.shape == (total, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    assert len((output / "metadata.tsv").read_text().splitlines()) == total + 1


def use_all(work: Path) -> None:
    use_encoder()
    total = make_calls(work / "calls")
    use_corpus_and_list(work / "calls", total, work)
    use_loss(work)
    use_vector_format(work / "calls", total, work)
    print(Path(timbral.__file__).parent)


if __name__ == "__main__":
    torch.set_num_threads(2)
    use_all(Path(sys.argv[1]))
