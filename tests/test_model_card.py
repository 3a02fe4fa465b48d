"""The README.md of a run, of a saved encoder and of a repository of the Hub."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from timbral import api
from timbral.checkpoints.card_evaluations import CardEvaluation, read_evaluations
from timbral.checkpoints.model_card import ModelCard
from timbral.errors import DataError


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "small"))


def metadata(card: str) -> dict[str, object]:
    head = card.split("---\n")[1]
    found: dict[str, object] = yaml.safe_load(head)
    return found


def test_a_run_has_a_card(run: Path) -> None:
    card = (run / "README.md").read_text("utf-8")
    assert metadata(card)["library_name"] == "timbral"
    checkpoint = api.resolve(run)
    assert checkpoint.weights_sha256 in card
    assert "6 speakers, 36 utterances" in card
    assert "| folder | 6 | 36 |" in card
    assert f"{100 * checkpoint.training_state['best_score']:.2f} %" in card
    assert f"{checkpoint.validation_threshold:.3f}" in card
    assert "raised to -30 dBFS RMS" in card
    assert "Not evaluated yet" not in card
    assert re.search(r"At least \d\.\d\d s must remain", card)
    assert "0.0 million" not in card


def test_the_snippet_of_a_card_runs(
    own_run: Path, voices: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (own_run / "README.md").read_text("utf-8")
    monkeypatch.chdir(own_run.parent)
    for name, path in zip("ab", sorted(voices.glob("*/*.ogg")), strict=False):
        (own_run.parent / f"{name}.wav").symlink_to(path)
    (snippet,) = re.findall("```python\n(.*?)```", card, flags=re.S)
    names: dict[str, object] = {}
    exec(snippet, names)
    assert names["vectors"].shape == (2, 16)  # type: ignore[attr-defined]
    assert "Decision" in capsys.readouterr().out


def test_evaluations_go_into_the_card(own_run: Path, voices: Path) -> None:
    (own_run / "README.md").unlink()
    names = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    lines = [f"{int(a[:4] == b[:4])} {a} {b}\n" for a in names[:18:3] for b in names[1:19:3]]
    trials = own_run.parent / "my|trials.txt"
    trials.write_text("".join(lines))
    result = api.evaluate(own_run, trials, voices, own_run / "evaluation" / "mine", draws=100)
    card = (own_run / "README.md").read_text("utf-8")
    assert f"| my\\|trials.txt | {100 * result.eer:.2f} %" in card
    assert f"| {len(lines)} |" in card
    index = metadata(card)["model-index"]
    assert index[0]["results"][0]["metrics"][0]["value"] == round(100 * result.eer, 3)  # type: ignore[index]
    saved = api.load_encoder(own_run).save(
        own_run.parent / "saved", license="mit", evaluations=[own_run / "evaluation" / "mine"]
    )
    assert f"{100 * result.eer:.2f} %" in (saved / "README.md").read_text("utf-8")
    other = read_evaluations([own_run / "evaluation" / "mine"], "0" * 64)
    assert not other, "of other weights"


def test_a_card_that_somebody_changed_stays(own_run: Path) -> None:
    encoder = api.load_encoder(own_run)
    folder = encoder.save(own_run.parent / "saved")
    (folder / "README.md").write_text("mine", "utf-8")
    encoder.save(folder)
    assert (folder / "README.md").read_text("utf-8") == "mine"


def test_damaged_evaluations_are_named(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"eer": "low"}))
    with pytest.raises(DataError, match=r"evaluation\.json: was not written by `timbral evaluate`"):
        read_evaluations([tmp_path], "")


def test_shipped_encoders_say_what_they_were_trained_on(tmp_path: Path) -> None:
    api.load_encoder("timbral-small").save(tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text("utf-8")
    assert "## Training data\n\nWithout labels: speechocean762, LibriSpeech" in card
    assert "fitted on 82 speakers (read English: speechocean762 and LibriSpeech, cropped" in card


def test_licenses_are_the_words_of_the_hub(run: Path) -> None:
    from dataclasses import replace

    from timbral.checkpoints.model_card import NetworkSizes

    encoder = api.load_encoder(run)
    sizes = NetworkSizes.of(encoder.network)
    card = ModelCard("x", "me/x", sizes, encoder.preprocessing, "", is_on_hub=True)
    assert "license" not in metadata(card.text())
    assert '"me/x", download=True' in card.text()
    known = metadata(replace(card, license="CC-BY-SA-3.0").text())
    assert known["license"] == "cc-by-sa-3.0"
    other = metadata(replace(card, license="Ours: research only").text())
    assert (other["license"], other["license_name"]) == ("other", "ours:-research-only")
    figures = CardEvaluation("a<b|c", 0.01, (0.005, 0.02), 100, 5)
    assert (
        "| a&lt;b\\|c | 1.00 % (0.50 to 2.00) | 100 | 5 |"
        in replace(card, evaluations=[figures]).text()
    )
