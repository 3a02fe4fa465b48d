"""Every snippet of docs/ is checked, by the language of its block.

``console``: every command runs, in a folder with the demo's voices; a small encoder stands for the
    published one, and trainings take few steps.
``sh``: commands that take too long, or need a network, a cluster or other projects' files. They are
    parsed only: verbs and flags exist, values have their types, scripts that are named are there.
``python``: runs, on one page from top to bottom.
``yaml``: is read as a config.
"""

from __future__ import annotations

import dataclasses
import functools
import pkgutil
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tyro

import timbral
from timbral.audio.preprocessing import Preprocessing, load
from timbral.cli.main import main
from timbral.cli.verb_table import load_verb
from timbral.compat.command_lines import translate
from timbral.config.schema import TrainConfig
from timbral.config.yaml import flatten, load_config, to_mapping
from timbral.data.prepared.prepare import prepare
from timbral.demo.shipped import VOICES
from timbral.encoders.lstm import LstmEncoder
from timbral.encoders.registry import ENCODERS
from timbral.io import devices
from timbral.losses.margin import AamConfig
from timbral.scoring.trials import draw_pairs

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(path.stem for path in (REPOSITORY / "docs").glob("*.md"))
PUBLISHED = '"campplus-zh-en", download=True'
QUICK = ["schedule.steps", "2", "data.speakers_per_batch", "4"]
"""added to the values that a page's training replaces"""


def snippets(page: str, language: str) -> list[str]:
    text = (REPOSITORY / "docs" / f"{page}.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def pages_with(language: str) -> list[str]:
    return [page for page in PAGES if snippets(page, language)]


@pytest.fixture
def folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder that the pages suppose: recordings, prepared data, runs, trials."""
    for voice in ("am_adam", "am_eric", "af_alloy", "af_bella", "bf_emma", "bm_george"):
        (tmp_path / "voices" / voice).mkdir(parents=True)
        for path in sorted((VOICES / voice).glob("*.ogg"))[:8]:
            (tmp_path / "voices" / voice / path.name).symlink_to(path)
    files = sorted(path.relative_to(tmp_path / "voices") for path in tmp_path.glob("voices/*/*"))
    pairs = draw_pairs([path.parts[0] for path in files], max_per_kind=10)
    lines = [f"{label} {files[first]} {files[second]}\n" for label, first, second in pairs]
    (tmp_path / "trials.txt").write_text("".join(lines))
    samples = load(tmp_path / "voices" / files[0])
    soundfile.write(tmp_path / "call.wav", [*samples, *samples], 16_000)
    for name in ("tuned", "published"):  # of their own: evaluations are written into them
        shutil.copytree(run, tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(autouse=True)
def unregister() -> Iterator[None]:
    known = set(ENCODERS)
    yield
    for name in set(ENCODERS) - known:
        del ENCODERS[name]


def commands(page: str, language: str) -> list[list[str]]:
    """Words of each command of a page; a prompt and comments are left out."""
    lines = "".join(snippets(page, language)).splitlines()
    assert language == "sh" or all(line.startswith("$ timbral ") for line in lines), lines
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]


@pytest.mark.parametrize("page", pages_with("console"))
def test_commands_run(
    page: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each ends with exit code 0, and writes its --output."""
    monkeypatch.setattr(devices, "tune_cpu", lambda: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    if page != "corpora":  # whose first command makes it
        prepare("voices", "data", Preprocessing())
    (folder / "mine.py").write_text("".join(snippets("encoders", "python")))
    for words in commands(page, "console"):
        words, _, target = (list(side) for side in partition(words, ">"))
        published = str(folder / "runs" / "published")
        words = [published if word == "campplus-zh-en" else word for word in words]
        monkeypatch.setattr(sys, "argv", words + (QUICK if words[1] == "train" else []))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert not ended.value.code, f"{shlex.join(words)}\n{captured.err}"
        if target:
            Path(target[0]).write_text(captured.out)
        if "--output" in words:
            assert Path(words[words.index("--output") + 1]).exists()
    if page == "configs":
        assert load_config(Path("mine.yaml")) == timbral.load_config("tdnn-ge2e-small")


def partition(words: Sequence[str], mark: str) -> tuple[Sequence[str], str, Sequence[str]]:
    """`str.partition` for words."""
    index = words.index(mark) if mark in words else len(words)
    return words[:index], mark, words[index + 1 :]


def parse_only(words: Sequence[str]) -> None:
    """Parse a command of timbral and do nothing; SystemExit for wrong flags or values."""
    verb, *rest = translate(words)

    @functools.wraps(load_verb(verb))
    def do_nothing(*_: object, **__: object) -> int:
        return 0

    tyro.cli(do_nothing, args=rest, config=(tyro.conf.FlagCreatePairsOff,))


@pytest.mark.parametrize("page", pages_with("sh"))
def test_commands_parse(page: str) -> None:
    for words in commands(page, "sh"):
        if words[0] == "python":
            assert (REPOSITORY / words[1]).exists(), words
        elif words[:2] == ["pip", "install"]:
            named = [word for word in words[2:] if "timbral" in word]
            assert all(re.fullmatch(r"timbral\[(\w+)\]", word) for word in named)
        else:
            assert words[0] in ("timbral", "torchrun"), words
            parse_only(words[words.index("timbral") + 1 :])


def test_wrong_commands_do_not_parse() -> None:
    for wrong in ("embed a", "embed a b --no-such-flag 1", "train a --workers many"):
        with pytest.raises(SystemExit):
            parse_only(wrong.split())


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_configs_load(page: str, tmp_path: Path) -> None:
    for snippet in snippets(page, "yaml"):
        path = tmp_path / "config.yaml"
        path.write_text(snippet)
        assert load_config(path) != TrainConfig()


def test_reader_without_timbral(folder: Path, run: Path) -> None:
    """The class of docs/export.md gives the vectors of the Embedder, and imports no timbral."""
    (snippet,) = snippets("export", "python")
    assert "timbral." not in snippet
    assert len(snippet.splitlines()) <= 60
    timbral.export(str(run), "model.onnx")
    names: dict[str, Any] = {}
    exec(snippet, names)
    files = [str(path) for path in sorted(folder.glob("voices/af_bella/*.ogg"))[:3]]
    vectors = names["Reader"]("model.onnx").encode(files)
    assert np.abs(vectors - timbral.load_encoder(run, device="cpu").encode(files)).max() < 1e-4


@pytest.mark.parametrize("page", [page for page in pages_with("python") if page != "python"])
def test_python_snippets(page: str, folder: Path) -> None:
    names: dict[str, object] = {}
    if page == "corpora":
        names["encoder"] = timbral.Embedder(LstmEncoder(LstmEncoder.tiny_config), Preprocessing())
        prepare("voices", "mels", Preprocessing(), format="npy")
    for snippet in snippets(page, "python"):
        exec(snippet, names)


def test_python_page(folder: Path, run: Path) -> None:
    """A small run stands for the published encoder, which a test cannot download."""
    page = snippets("python", "python")
    assert any(PUBLISHED in snippet for snippet in page)
    names: dict[str, object] = {}
    for snippet in page:
        exec(snippet.replace(PUBLISHED, repr(str(run))), names)
    assert names["vectors"].shape == (2, 16)  # type: ignore[attr-defined]
    assert names["cosines"].shape == (2, 2)  # type: ignore[attr-defined]
    assert names["table"].num_rows == 6  # type: ignore[attr-defined]
    assert names["summary"].step == 20  # type: ignore[attr-defined]


def test_blocks_have_a_language_that_is_checked() -> None:
    for page in PAGES:
        text = (REPOSITORY / "docs" / f"{page}.md").read_text("utf-8")
        opened = re.findall(r"^```(.*)$", text, flags=re.M)[::2]
        assert set(opened) <= {"console", "sh", "python", "yaml"}, (page, opened)
        assert not re.search(r"^    (timbral|python|pip) ", text, flags=re.M), page


def test_links_lead_to_files() -> None:
    for page in PAGES:
        text = (REPOSITORY / "docs" / f"{page}.md").read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (REPOSITORY / "docs" / target).exists(), (page, target)


def new_names() -> list[str]:
    """What stands in backticks in the last columns of docs/names.md."""
    text = (REPOSITORY / "docs" / "names.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[-1])]


def test_new_names_exist() -> None:
    modules = [name for name in new_names() if re.fullmatch(r"timbral(\.\w+)+", name)]
    assert len(modules) > 80
    for name in modules:
        pkgutil.resolve_name(name)
    sections = [field.name for field in dataclasses.fields(TrainConfig)]
    prefixes = re.compile(rf"({'|'.join(sections)})\.[\w.]+(: \w+)?")
    keys = [name.split(":")[0] for name in new_names() if prefixes.fullmatch(name)]
    known = set(flatten(to_mapping(TrainConfig(loss=AamConfig()))))
    assert len(keys) > 15
    for key in keys:
        assert any(name == key or name.startswith(f"{key}.") for name in known), key
