"""Every snippet of the README runs, and what it shows is what comes out, numbers aside."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from conftest import Ask, without_progress
from timbral.config.named import find_config
from timbral.demo.shipped import VOICES
from timbral.errors import CheckpointError
from timbral.scoring.trials import draw_pairs

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, flags=re.S)
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.S)
UNSEEN = ("am_adam", "am_eric", "af_alloy", "bf_emma", "bm_george", "zf_xiaoni")
QUICK = ["schedule.steps", "3", "data.speakers_per_batch", "4", "encoder.channels", "16"]
"""added to the values that the README's training replaces"""


@pytest.fixture(scope="module")
def readme_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README supposes it: voices/, trials.txt and unseen.txt."""
    root = tmp_path_factory.mktemp("readme")
    others = [voice for voice in sorted(VOICES.glob("*/"))[::4] if voice.name not in UNSEEN]
    kept = [*others, *(VOICES / name for name in UNSEEN)]
    for voice in kept:
        (root / "voices" / voice.name).mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in voice.glob("*.ogg"))
        for name in names[:4]:
            link = root / "voices" / voice.name / name
            if not link.exists():
                link.symlink_to(voice / name)
    (root / "unseen.txt").write_text("\n".join(UNSEEN))
    files = [Path(path.parent.name, path.name) for path in sorted(root.glob("voices/*/*.ogg"))]
    files = [path for path in files if path.parts[0] in UNSEEN]  # others are trained on
    pairs = draw_pairs([path.parts[0] for path in files], max_per_kind=20)
    lines = [f"{label} {files[first]} {files[second]}\n" for label, first, second in pairs]
    (root / "trials.txt").write_text("".join(lines))
    of_each = (f"{path}\t{path.parts[0]}\n" for path in files)
    (root / "trials.txt.utt2spk").write_text("".join(of_each))
    return root


def shape(text: str) -> list[str]:
    """The text without its numbers, and without words and units that depend on them."""
    text = text.replace("same speaker (", "different speakers (")
    numbers = r"-?\d[\d,.]*( (h|min|s)\b)?"
    return [re.sub(numbers, "#", line).rstrip() for line in text.strip().splitlines()]


def test_console_snippets(readme_folder: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(readme_folder)
    monkeypatch.setenv("TIMBRAL_CACHE", str(readme_folder / "cache"))
    commands = [snippet.partition("\n") for snippet in CONSOLE]
    assert len(commands) >= 7
    for line, _, expected in commands:
        words = shlex.split(line.removeprefix("$ "))
        assert words[0] == "timbral"
        if words[1] == "train":
            words += QUICK
        done = ask(*words[1:])
        assert done.code == 0, f"{line}\n{done.err}"
        assert without_progress(done.err) == ""
        assert shape(done.out) == shape(expected), line


def test_python_snippets(readme_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(readme_folder)
    monkeypatch.setenv("TIMBRAL_CACHE", str(readme_folder / "cache"))
    assert len(PYTHON) == 1
    names: dict[str, Any] = {}
    try:
        exec(PYTHON[0], names)
    except CheckpointError as error:
        if "could not be downloaded" in str(error):
            pytest.skip(str(error))
        raise
    assert names["vectors"].shape == (2, 192)
    assert names["voice"].shape == (192,)
    assert names["scores"].shape == (2,) or names["scores"].shape == (2, 1)
    assert names["scores"].ravel()[0] > names["scores"].ravel()[1]
    assert -1.0 <= names["decision"].score <= 1.0
    assert names["decision"].same is False


def test_files_that_are_named_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / target).exists(), target
    for name in re.findall(r"^\| `([a-z0-9-]+)` \| .* parameters", README, flags=re.M):
        assert find_config(name).exists(), name
