"""Recipes of the installed Lhotse as layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lhotse
import numpy as np
import pytest
import soundfile

from conftest import Ask
from timbral.data.lists.lhotse_recipes import recipe_layout
from timbral.data.sources import find_utterances
from timbral.errors import DataError


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """LibriSpeech as its authors lay it out, with two speakers in two subsets."""
    wave = 0.1 * np.random.default_rng(0).standard_normal(8000)
    for subset, speaker in (("dev-clean", "84"), ("test-other", "367")):
        folder = tmp_path / "LibriSpeech" / subset / speaker / "121"
        folder.mkdir(parents=True)
        names = [f"{speaker}-121-000{number}" for number in range(2)]
        for name in names:
            soundfile.write(folder / f"{name}.flac", wave, 16_000)
        lines = "".join(f"{name} SOME WORDS\n" for name in names)
        (folder / f"{speaker}-121.trans.txt").write_text(lines)
    return tmp_path / "LibriSpeech"


def test_a_recipe_is_a_layout(librispeech: Path, ask: Ask) -> None:
    found = find_utterances(librispeech, "lhotse:librispeech")
    assert not found.failures
    assert [(row.utterance, row.speaker) for row in found] == [
        (f"{speaker}-121-000{number}", speaker) for speaker in ("367", "84") for number in range(2)
    ]
    assert all(Path(row.path).is_relative_to(librispeech) for row in found)
    assert found.table["text"].to_pylist() == ["SOME WORDS"] * 4
    answer = ask("export-list", librispeech, "--layout", "lhotse:librispeech", "--format", "csv",
                 "--output", "-")  # fmt: skip
    assert (answer.code, answer.out.count("\n")) == (0, 5)


def test_recipes_of_many_kinds(
    librispeech: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts in parts; a folder that must be named; words on standard output."""
    whole = lhotse.recipes.prepare_librispeech(librispeech)

    def prepare_mine(corpus_dir: Path, output_dir: Path, others: int = 3) -> Any:
        assert (corpus_dir, str(output_dir)[:1]) == (librispeech, "/")
        print("hello")
        return {"en": whole, "nothing": None}

    monkeypatch.setattr(lhotse.recipes, "prepare_mine", prepare_mine, raising=False)
    capsys.readouterr()
    assert len(find_utterances(librispeech, "lhotse:mine")) == 4
    assert capsys.readouterr().out == ""


def test_mistakes_are_explained(
    librispeech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="unknown recipe of Lhotse 'librispech'; did you mean"):
        recipe_layout("lhotse:librispech")
    with pytest.raises(DataError, match="needs more than the corpus's folder: eval_audio_dir"):
        find_utterances(librispeech, "lhotse:dihard3")
    with pytest.raises(DataError, match="no such folder"):
        find_utterances(tmp_path / "none", "lhotse:librispeech")
    monkeypatch.setattr(lhotse.recipes, "prepare_mine", lambda root: 1 / 0, raising=False)
    for name, words in {
        "vctk": "recipe vctk failed .*speaker-info.txt",
        "mine": "ZeroDivision",
    }.items():
        with pytest.raises(DataError, match=words) as refused:
            find_utterances(librispeech, f"lhotse:{name}")
        assert "\n" not in str(refused.value)
    monkeypatch.setattr(lhotse.recipes, "prepare_mine", lambda root: {}, raising=False)
    with pytest.raises(DataError, match="no audio found in layout lhotse:mine"):
        find_utterances(librispeech, "lhotse:mine")
