"""The verbs over recordings, as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Ask, without_progress
from timbral.cli.verbs import corpora, prepare
from timbral.data.corpora.registry import CORPORA
from timbral.errors import ConfigError


def test_corpora_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert corpora.run() == 0
    text = capsys.readouterr().out
    for name, corpus in CORPORA.items():
        if corpus.folder:
            assert name in text
            assert corpus.page in text
            assert corpus.license in text
            assert f"{corpus.folder}/{corpus.expected[0]}" in text


def test_from_a_folder_to_a_list_and_back(voices: Path, tmp_path: Path, ask: Ask) -> None:
    flac, mel = tmp_path / "flac", tmp_path / "mel"
    done = ask("prepare", voices, "--output", flac, "--format", "flac")
    assert (done.code, without_progress(done.err)) == (0, "")
    listed = ask("export-list", flac, "--format", "csv", "--output", tmp_path / "list.csv")
    assert listed.out == f"48 utterances in {tmp_path / 'list.csv'}\n"
    words = [tmp_path / "list.csv", "--output", mel, "--format", "npy"]
    again = ask("prepare", *words, "--workers", 1)
    assert again.out.startswith("prepared: 48 utterances of 8 speakers, ")
    assert ask("prepare", *words).out.startswith("was complete already: 48 utterances")
    shown = ask("inspect", mel, "--output", tmp_path / "page.html")
    assert (shown.code, without_progress(shown.err)) == (0, "")
    assert "kind          precomputed mels\nutterances    48, " in shown.out
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give a corpus"),
        ({"corpus": "x", "datasets_root": "x", "dataset_names": ("vctk",)}, "give a corpus"),
        ({"datasets_root": "x"}, "go together"),
        ({"corpus": "x", "dataset_names": ("vctk",)}, "go together"),
        ({"corpus": "x", "min_rms_dbfs": "loud"}, "--min-rms-dbfs must be a level"),
        ({"corpus": "x", "workers": 0}, "workers must be 1"),
    ],
)
def test_mistakes_are_explained(arguments: dict[str, object], words: str, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "x.wav").touch()
    paths = {k: tmp_path if v == "x" else v for k, v in arguments.items()}
    with pytest.raises(ConfigError, match=words):
        prepare.run(output=tmp_path / "out", **paths)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
